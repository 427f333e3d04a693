-- Makes a parked delivery a dead letter: its body is gone, or it killed the workers that touched it.
-- In:  ARGV redelivery, subscription, worker, member, reason, error
-- Out: 'lost' | 'gone' | 'buried'
-- Keeps: 2, 11.

local id, s, worker, member = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return 'lost' end
unlock()
local buried = bury(s, member, ARGV[5], ARGV[6])
redis.call('HDEL', ALONE, id)
write_ledger()
return buried and 'buried' or 'gone'
