-- The sessions that are not over.
-- In:  KEYS sessions hash, zset of last uses in ms; ARGV timeout in ms
-- Out: the JSON of each
-- Keeps: writes nothing; session_open bounds how many there are.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', now - ARGV[1]), '+inf')) do
  local json = redis.call('HGET', KEYS[1], id)
  if json then found[#found + 1] = json end
end
return found
