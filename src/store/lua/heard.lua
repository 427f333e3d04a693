-- Notes when sources of events were heard of last.
-- In:  ARGV per source: when its last event arrived in ms, source; at most 256 sources
-- Out: 1
-- Keeps: 5 (bounded by the caller), 9 (nothing undelivered is touched). Any number of workers may call it, in any order.

expect(SOURCES, 'zset')
-- A time of arrival that lies in the future was set by hand: it would never grow silent.
local sources = {}
for i = 1, #ARGV, 2 do
  sources[i], sources[i + 1] = tonumber(ARGV[i]) > now and int(now) or ARGV[i], ARGV[i + 1]
end
unlock()
redis.call('ZADD', SOURCES, 'GT', unpack(sources))
return 1
