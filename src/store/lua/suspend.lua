-- Suspends or resumes a subscription in this partition.
-- In:  ARGV subscription, version of the change, 'suspend' or 'resume'
-- Out: [1 applied or 0 not newer, ms to the soonest wake-up made or -1]
-- Keeps: 3 (a redelivery that is out stays and ends itself).

local s, version, how = ARGV[1], tonumber(ARGV[2]), ARGV[3]
expect_partition()
expect_subscription(s)
if version <= number(redis.call('HGET', circuit(s), 'version')) then return { 0, -1 } end
if is_removed(s) then return { 0, -1 } end
unlock()
if how == 'suspend' then
  redis.call('ZREM', WAKEUPS, s)
  redis.call('HSET', circuit(s), 'version', int(version))
  redis.call('HSETNX', circuit(s), 'suspended', int(now))
  set_behind(s)
  return { 1, -1 }
end
redis.call('HSET', circuit(s), 'version', int(version))
redis.call('HDEL', circuit(s), 'suspended', 'failures', 'not_before', 'refusals')
if has_due(s) then
  arm(s, now, 'LT')
elseif not redis.call('HGET', circuit(s), 'entry') then
  settle_down(s)
end
return { 1, ms_to_soonest() }
