-- For which of some subscriptions an event is parked, and what it waits for; read only.
-- In:  ARGV member, then subscriptions, at most 256
-- Out: [now, rows: [subscription, score, its tries or '', next wake-up in ms or '', circuit: open, since, entry,
--      suspended, error]…]

local member, rows = ARGV[1], {}
for i = 2, #ARGV do
  local s = ARGV[i]
  local score = redis.call('ZSCORE', retry(s), member)
  if score then
    rows[#rows + 1] = {
      s, int(tonumber(score)), redis.call('HGET', tries(s), member) or '', redis.call('ZSCORE', WAKEUPS, s) or '',
      redis.call('HMGET', circuit(s), 'open', 'since', 'entry', 'suspended', 'error'),
    }
  end
end
return { int(now), rows }
