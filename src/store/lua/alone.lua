-- Marks an entry as processed alone by a worker: if the worker dies now, this entry is to blame.
-- In:  ARGV worker, entry id
-- Out: 1
-- Keeps: 11.

expect(ALONE, 'hash')
unlock()
redis.call('HSET', ALONE, ARGV[2], ARGV[1])
return 1
