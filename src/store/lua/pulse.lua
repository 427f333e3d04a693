-- Which heartbeats of subscriptions are due: each is given to one caller, whoever comes first, and due again after its
-- interval.
-- In:  ARGV per subscription: id, interval in ms
-- Out: [ms to the next of them or -1, due subscriptions…]
-- Keeps: 4, 6; nothing depends on it but the heartbeats themselves.

-- A due time this old belongs to a subscription that nobody asks about any more.
local FORGOTTEN = 24 * 3600 * 1000

local pulses = base .. 'pulses'
expect(WAKEUPS, 'zset') expect(pulses, 'zset')
unlock()
redis.call('ZREMRANGEBYSCORE', pulses, '-inf', int(now - FORGOTTEN))
local next_at, due = nil, {}
for i = 1, #ARGV, 2 do
  local s, interval = ARGV[i], tonumber(ARGV[i + 1])
  local at = tonumber(redis.call('ZSCORE', pulses, s) or '')
  local is_due = at and at <= now
  if is_due then due[#due + 1] = s end
  -- Never later than one interval from now, also where the interval was shortened.
  if is_due or not at or at > now + interval then
    at = now + interval
    redis.call('ZADD', pulses, int(at), s)
  end
  if not next_at or at < next_at then next_at = at end
end
local answer = { next_at and math.max(0, next_at - now) or -1 }
for i, s in ipairs(due) do answer[i + 1] = s end
return answer
