-- Looks a session up by its token, notes that it was used, and reads its account.
-- In:  KEYS sessions hash, zset of last uses in ms, accounts hash; ARGV id, SHA-256 of the token's secret, timeout in ms
-- Out: the session's JSON and its account's, '' for what is not there, is over, or has another token
-- Keeps: a session that was not used for the timeout is ended by whoever asks. Runs at the memory limit: the first
--        write is a ZREM.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local json = redis.call('HGET', KEYS[1], ARGV[1])
if not json then return { '', '' } end
local session = cjson.decode(json)
if session.token ~= ARGV[2] then return { '', '' } end
local used = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if not used or used + ARGV[3] <= now then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return { '', '' }
end
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
return { json, redis.call('HGET', KEYS[3], session.account) or '' }
