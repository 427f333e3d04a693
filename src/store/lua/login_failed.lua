-- Counts a wrong password, and locks the account at the threshold.
-- In:  KEYS lockout hash; ARGV account, threshold or 0 for never, lock in ms, after how many ms a count is forgotten
-- Out: 1 when this one has locked the account, else 0
-- Keeps: one field an account: count, last failure in ms, locked until in ms. While it is locked nothing is counted,
--        so that guessing does not lock it for ever. Runs at the memory limit: the first write is an HDEL.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local threshold, duration, reset = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local count, last, locked_until = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) (%d+) (%d+)$')
count, last, locked_until = tonumber(count) or 0, tonumber(last) or 0, tonumber(locked_until) or 0
if threshold == 0 or locked_until > now then return 0 end
if last + reset <= now then count = 0 end
count = count + 1
local locks = count >= threshold
if locks then
  locked_until = now + duration
  count = 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f %.0f', count, now, locked_until))
return locks and 1 or 0
