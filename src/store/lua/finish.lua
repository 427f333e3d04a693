-- A drain found nothing due any more: it ends and the subscription is no longer behind.
-- In:  ARGV redelivery, subscription, worker
-- Out: ['lost' | 'more' | 'done', ms to the wake-up of what is due later or -1]
-- Keeps: 3; nothing parked in between is overlooked.

local id, s, worker = ARGV[1], ARGV[2], ARGV[3]
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return { 'lost', -1 } end
local c = redis.call('HMGET', circuit(s), 'entry', 'suspended')
if c[1] ~= id or c[2] then
  done(s, id)
  return { 'done', -1 }
end
if has_due(s) then return { 'more', -1 } end
done(s, id)
settle_down(s)
return { 'done', ms_to_soonest() }
