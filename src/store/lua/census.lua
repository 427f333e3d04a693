-- The state of some subscriptions for metrics and status, read only.
-- In:  ARGV 'weigh' or '', then subscriptions, at most 256
-- Out: per subscription [parked, oldest member or '', next wake-up in ms or '', its tries or '', circuit fields,
--      bytes of the bodies of a few, how many those are: 0 unless they are to be weighed]

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
for i = 2, #ARGV do
  local s = ARGV[i]
  local oldest, parked = redis.call('ZRANGE', retry(s), 0, 0)[1] or '', redis.call('ZCARD', retry(s))
  local bytes, samples = 0, 0
  if ARGV[1] == 'weigh' then bytes, samples = sample(s, parked) end
  rows[i - 1] = {
    parked, oldest, redis.call('ZSCORE', WAKEUPS, s) or '',
    redis.call('HGET', tries(s), oldest) or '', redis.call('HGETALL', circuit(s)),
    bytes, samples,
  }
end
return { int(now), rows }
