-- What is known of an account that somebody wants to log in to.
-- In:  KEYS accounts hash, lockout hash; ARGV account
-- Out: its JSON or '', for how many ms more it is locked or 0, 1 when wrong passwords are noted
-- Keeps: writes nothing.

local json = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local noted = redis.call('HGET', KEYS[2], ARGV[1]) or ''
local locked_until = string.match(noted, '^%d+ %d+ (%d+)$')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local left = (tonumber(locked_until) or 0) - now
return { json, left > 0 and left or 0, noted ~= '' and 1 or 0 }
