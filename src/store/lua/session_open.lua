-- Stores a new session, after those that were not used for the timeout were swept.
-- In:  KEYS sessions hash, zset of last uses in ms; ARGV id, JSON, timeout in ms, how many there may be
-- Out: 1, or 0 when there are that many already
-- Keeps: a field of the hash for each member of the zset. Runs at the memory limit: the first write is a ZREM.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], 0, string.format('%.0f', now - ARGV[3]), 'LIMIT', 0, 256)
for _, id in ipairs(ended) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], id)
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
