-- Tells that a worker lives, or with a score of 0 that it left.
-- In:  ARGV worker, 'alive' or 'left'
-- Out: [its heartbeat before this one or '', [worker, last heartbeat in ms, …], the first 512]
-- Keeps: 7; works at the memory limit, where a plain ZADD would make every worker look dead.

expect(WORKERS, 'zset')
local before = redis.call('ZSCORE', WORKERS, ARGV[1]) or ''
unlock()
redis.call('ZADD', WORKERS, ARGV[2] == 'left' and '0' or int(now), ARGV[1])
return { before, redis.call('ZRANGE', WORKERS, 0, 511, 'WITHSCORES') }
