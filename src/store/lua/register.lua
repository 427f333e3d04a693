-- Stores, replaces or deletes an entry (a subscription, an account, a setting) if the hash is still at the version
-- that the writer read.
-- In:  KEYS hash; ARGV expected version, field, its JSON or '' to delete, the version that it gets (the next one, or
--      a later one where somebody has seen that already), and how many entries there may be where a new one is to be
--      refused
-- Out: the new version, or -1 when somebody else wrote first or the hash has just begun: read it again; -2 when there
--      are as many entries as may be
-- Keeps: the number of entries, whoever adds some at the same moment; what begins with a colon is none.
-- Versions begin with the clock: after a flush a new hash must never look like the old one unchanged.
-- Runs at the memory limit: the first write is a no-op HDEL.

local version = redis.call('HGET', KEYS[1], ':version')
if version and tonumber(version) ~= tonumber(ARGV[1]) then return -1 end
if ARGV[5] and not redis.call('HGET', KEYS[1], ARGV[2]) then
  local entries = redis.call('HLEN', KEYS[1])
  for _, own in ipairs(redis.call('HMGET', KEYS[1], ':version', ':settings')) do
    if own then entries = entries - 1 end
  end
  if entries >= tonumber(ARGV[5]) then return -2 end
end
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
