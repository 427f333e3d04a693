-- How many deliveries each of some subscriptions has parked, read only. Asked every few seconds by every worker for all
-- that have a limit: nothing but their number.
-- In:  ARGV subscriptions, at most 1,024
-- Out: their numbers, in their order

local held = {}
for i, s in ipairs(ARGV) do held[i] = redis.call('ZCARD', retry(s)) end
return held
