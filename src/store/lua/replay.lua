-- Puts a dead letter back to work: a delivery into its retry queue, an event that was rejected into the stream.
-- In:  ARGV id of the dead letter
-- Out: ['gone'] | ['removed'] its subscription was removed | ['replayed', ms to the soonest wake-up or -1]
-- Keeps: 1, 2, 3 (deleting it decides which of two replays wins).

local id = ARGV[1]
expect_partition()
local entry = redis.call('XRANGE', DEAD, id, id)[1]
if not entry then return { 'gone' } end
local f = {}
for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
local s = f.subscription
if s ~= '' then
  expect_subscription(s)
  if is_removed(s) then return { 'removed' } end
end
if redis.call('XDEL', DEAD, id) == 0 then return { 'gone' } end
if s == '' then
  local source, received, event = string.match(f.body, '^r([^\n]*)\n([^\n]*)\n(.*)$')
  redis.call('XADD', EVENTS, '*', 'event', event or f.body, 'source', source or '', 'received_at', received or '')
  count('rejected', -1)
  write_ledger()
  return { 'replayed', -1 }
end
if park(s, f.member, 0, f.body, 'replayed') then
  if is_behind(s) then arm(s, now, 'NX') else arm(s, now, 'LT') end
end
write_ledger()
return { 'replayed', ms_to_soonest() }
