-- Stores, replaces or deletes an entry (a subscription, an account, a setting) if the hash is still at the version
-- that the writer read.
-- In:  KEYS hash; ARGV expected version, field, its JSON or '' to delete, the version that it gets (the next one, or
--      a later one where somebody has seen that already)
-- Out: the new version, or -1 when somebody else wrote first or the hash has just begun: read it again
-- Versions begin with the clock: after a flush a new hash must never look like the old one unchanged.
-- Runs at the memory limit: the first write is a no-op HDEL.

local version = redis.call('HGET', KEYS[1], ':version')
if version and tonumber(version) ~= tonumber(ARGV[1]) then return -1 end
redis.call('HDEL', KEYS[1], ':unlock')
if not version then
  local clock = redis.call('TIME')
  redis.call('HSET', KEYS[1], ':version', string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)))
  return -1
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
return redis.call('HINCRBY', KEYS[1], ':version', string.format('%.0f', math.max(1, tonumber(ARGV[4]) - tonumber(version))))
