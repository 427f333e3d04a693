-- A worker that shuts down gives its drain back.
-- In:  ARGV redelivery, subscription, worker
-- Out: ['lost' | 'left', ms to the wake-up or -1]
-- Keeps: 3.

local id, s, worker = ARGV[1], ARGV[2], ARGV[3]
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return { 'lost', -1 } end
local current = redis.call('HGET', circuit(s), 'entry') == id
done(s, id)
if current then
  if has_due(s) then
    arm(s, now, 'LT')
  elseif not redis.call('HGET', circuit(s), 'suspended') then
    settle_down(s)
  end
end
return { 'left', ms_to_soonest() }
