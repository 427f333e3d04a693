-- Which entry is the newest, without what is in it.
-- In:  KEYS stream; ARGV id of an entry
-- Out: the id of the newest entry behind that one, '' where there is none
-- Keeps: writes nothing.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '(' .. ARGV[1], 'COUNT', 1)
return newest[1] and newest[1][1] or ''
