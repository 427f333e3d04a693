-- Removes a subscription from this partition, in bounded steps: called until nothing is left.
-- In:  ARGV subscription, most deliveries to drop at once
-- Out: deliveries left
-- Keeps: 2, 5; the tombstone stops a pod that has not noticed from parking for it.

local s, most = ARGV[1], tonumber(ARGV[2])
expect_partition()
expect_subscription(s)
unlock()
redis.call('ZADD', REMOVED, 'NX', int(now), s)
redis.call('ZREM', WAKEUPS, s)
clear_behind(s)
-- All that is kept of its circuit is that a redelivery is out.
local entry = redis.call('HGET', circuit(s), 'entry')
redis.call('UNLINK', circuit(s))
if entry then redis.call('HSET', circuit(s), 'entry', entry) end
local dropped = 0
for _, member in ipairs(redis.call('ZRANGE', retry(s), 0, most - 1)) do
  if unpark(s, member) then dropped = dropped + 1 end
end
count('dropped', dropped)
write_ledger()
local left = redis.call('ZCARD', retry(s))
if left == 0 then redis.call('UNLINK', tries(s)) end
return left
