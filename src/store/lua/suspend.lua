-- Suspends or resumes a subscription in this partition.
-- In:  ARGV subscription, version of the change, 'suspend' or 'resume'
-- Out: [1 applied or 0 not newer, ms to the soonest wake-up made or -1, the circuit's version where it says the
--      opposite by a newer change, else -1]
-- Keeps: 3 (a redelivery that is out stays and ends itself). Resumed, a delivery has all its attempts again.

local s, version, how = ARGV[1], tonumber(ARGV[2]), ARGV[3]
expect_partition()
expect_subscription(s)
local c = redis.call('HMGET', circuit(s), 'version', 'suspended')
if is_removed(s) then return { 0, -1, -1 } end
if version <= number(c[1]) then
  local agrees = (how == 'suspend') == (c[2] ~= false)
  return { 0, -1, agrees and -1 or number(c[1]) }
end
unlock()
if how == 'suspend' then
  redis.call('ZREM', WAKEUPS, s)
  redis.call('HSET', circuit(s), 'version', int(version))
  redis.call('HSETNX', circuit(s), 'suspended', int(now))
  set_behind(s)
  return { 1, -1, -1 }
end
if c[2] then redis.call('UNLINK', tries(s)) end
redis.call('HSET', circuit(s), 'version', int(version))
redis.call('HDEL', circuit(s), 'suspended', 'failures', 'not_before', 'refusals')
if has_due(s) then
  arm(s, now, 'LT')
elseif not redis.call('HGET', circuit(s), 'entry') then
  settle_down(s)
end
return { 1, ms_to_soonest(), -1 }
