-- The state of some subscriptions for metrics and status, read only.
-- In:  ARGV subscriptions, at most 256
-- Out: per subscription [parked, oldest member or '', next wake-up in ms or '', its tries or '', circuit fields,
--      bytes of the bodies of a few, how many those are]

-- Evenly spaced from the oldest to the newest.
local SAMPLES = 5
local function sample(s, parked)
  local bytes, samples = 0, math.min(SAMPLES, parked)
  for i = 0, samples - 1 do
    local at = int(math.floor(i * (parked - 1) / math.max(1, samples - 1)))
    local member = redis.call('ZRANGE', retry(s), at, at)[1]
    if member then bytes = bytes + redis.call('HSTRLEN', BODIES, member) end
  end
  return bytes, samples
end

local rows = {}
for i, s in ipairs(ARGV) do
  local oldest, parked = redis.call('ZRANGE', retry(s), 0, 0)[1] or '', redis.call('ZCARD', retry(s))
  local bytes, samples = sample(s, parked)
  rows[i] = {
    parked, oldest, redis.call('ZSCORE', WAKEUPS, s) or '',
    redis.call('HGET', tries(s), oldest) or '', redis.call('HGETALL', circuit(s)),
    bytes, samples,
  }
end
return { int(now), rows }
