-- Tells that a pod lives and serves its event streams.
-- In:  KEYS zset of the pods' last beats in ms; ARGV pod, ms since the epoch by the first partition's clock
-- Out: nothing
-- Keeps: runs at the memory limit, where a plain ZADD would make every pod look gone: the first write is a no-op ZREM.

redis.call('ZREM', KEYS[1], '')
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
