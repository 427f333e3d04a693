-- Puts a dead letter back to work: a delivery into its retry queue, an event that was rejected into the stream.
-- In:  ARGV id of the dead letter
-- Out: ['gone'] | ['removed'] its subscription was removed | ['replayed', ms to the soonest wake-up or -1]
-- Keeps: 1, 2, 3 (who still finds it wins; an event is added before its dead letter goes, should the add fail).

local id = ARGV[1]
expect_partition()
local entry = redis.call('XRANGE', DEAD, id, id)[1]
if not entry then return { 'gone' } end
local f = {}
for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
local s = f.subscription
if not (s and f.member and f.body) then
  error('HOLDFAST dead letter ' .. id .. ' was not written by Holdfast: it can only be purged')
end
if s ~= '' then
  expect_subscription(s)
  if is_removed(s) then return { 'removed' } end
end
unlock()
if s == '' then
  local source, received, event = string.match(f.body, '^r([^\n]*)\n([^\n]*)\n(.*)$')
  redis.call('XADD', EVENTS, '*', 'event', event or f.body, 'source', source or '', 'received_at', received or '')
  redis.call('XDEL', DEAD, id)
  count('rejected', -1)
  write_ledger()
  return { 'replayed', -1 }
end
redis.call('XDEL', DEAD, id)
if park(s, f.member, 0, f.body, 'replayed') then
  if is_behind(s) then arm(s, now, 'NX') else arm(s, now, 'LT') end
end
write_ledger()
return { 'replayed', ms_to_soonest() }
