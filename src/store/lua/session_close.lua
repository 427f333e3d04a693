-- Ends a session.
-- In:  KEYS sessions hash, zset of last uses; ARGV id
-- Out: 1, or 0 when there was none

redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
