-- Makes a subscription that is behind due now and re-injects it in the same step, so nobody's sleep delays it.
-- In:  ARGV subscription, how: 'due' forgets nothing; 'floor' forgets the floor of a Retry-After, which an operator
--      may; 'fresh' also the back-off, the refusals and all attempts: the destination changed
-- Out: [ms to the wake-up that was left in place or made, or -1; 1 when it was re-injected]
-- Keeps: 3.

local s, how = ARGV[1], ARGV[2]
expect_partition()
expect_subscription(s)
unlock()
if how == 'fresh' then
  redis.call('UNLINK', tries(s))
  redis.call('HDEL', circuit(s), 'failures', 'refusals')
end
if how ~= 'due' then redis.call('HDEL', circuit(s), 'not_before') end
if how ~= 'fresh' and not is_behind(s) then return { -1, 0 } end
arm(s, now, 'LT')
if not soonest or soonest > now then return { ms_to_soonest(), 0 } end
redis.call('ZREM', WAKEUPS, s)
reinject(s)
return { -1, 1 }
