-- Makes a subscription that is behind due now and re-injects it in the same step, so nobody's sleep delays it.
-- In:  ARGV subscription, fresh ('1' forgets back-off and floor: the destination changed or an operator asked)
-- Out: [ms to the wake-up that was left in place or made, or -1; 1 when it was re-injected]
-- Keeps: 3.

local s, fresh = ARGV[1], ARGV[2] == '1'
expect_partition()
expect_subscription(s)
unlock()
if fresh then redis.call('HDEL', circuit(s), 'failures', 'not_before', 'refusals') end
if not fresh and not is_behind(s) then return { -1, 0 } end
arm(s, now, 'LT')
if not soonest or soonest > now then return { ms_to_soonest(), 0 } end
redis.call('ZREM', WAKEUPS, s)
reinject(s)
return { -1, 1 }
