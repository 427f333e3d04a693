-- The state of some subscriptions for metrics and status, read only.
-- In:  ARGV subscriptions, at most 256
-- Out: per subscription [parked, oldest member or '', next wake-up in ms or '', its tries or '', circuit fields…]

local rows = {}
for i, s in ipairs(ARGV) do
  local oldest = redis.call('ZRANGE', retry(s), 0, 0)[1] or ''
  rows[i] = {
    redis.call('ZCARD', retry(s)), oldest, redis.call('ZSCORE', WAKEUPS, s) or '',
    redis.call('HGET', tries(s), oldest) or '', redis.call('HGETALL', circuit(s)),
  }
end
return { int(now), rows }
