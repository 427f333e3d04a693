-- Stores, replaces or deletes a subscription if the registry is still at the version that the writer read.
-- In:  KEYS registry hash; ARGV expected version, subscription id, its JSON or '' to delete, the new version
-- Out: 1, or -1 when somebody else wrote first
-- Runs at the memory limit: the first write is a no-op HDEL.

local version = tonumber(redis.call('HGET', KEYS[1], ':version') or '0')
if version ~= tonumber(ARGV[1]) then return -1 end
redis.call('HDEL', KEYS[1], ':unlock')
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('HSET', KEYS[1], ':version', ARGV[4])
return 1
