-- Drops bodies that nobody holds, and sets the books right, after somebody deleted a retry queue by hand.
-- In:  ARGV cursor ('0' to begin), then subscriptions that may hold something besides those found here
-- Out: [cursor to go on from, '0' at the end; how many bodies were dropped or recounted]
-- Keeps: 2, 5; does nothing where the ledger agrees with the queues, which is always but after such a deletion.

expect_partition()
local queues, known = {}, {}
local parked = 0
local function look(s)
  if known[s] then return end
  known[s] = true
  if redis.call('TYPE', retry(s)).ok ~= 'zset' then
    if redis.call('TYPE', retry(s)).ok == 'none' then known[s] = 'empty' end
    return
  end
  parked = parked + redis.call('ZCARD', retry(s))
  queues[#queues + 1] = retry(s)
end
for i = 2, #ARGV do look(ARGV[i]) end
for _, key in ipairs({ WAKEUPS, REMOVED }) do
  for _, s in ipairs(redis.call('ZRANGE', key, 0, -1)) do look(s) end
end
for _, s in ipairs(redis.call('SMEMBERS', BEHIND)) do look(s) end
for _, entry in ipairs(redis.call('XRANGE', REDELIVERIES, '-', '+')) do look(entry[2][2]) end

local missing = number(redis.call('HGET', LEDGER, 'parked')) - parked
if missing == 0 and ARGV[1] == '0' then return { '0', 0 } end
unlock()

-- A bounded number of lookups, however many subscriptions there are.
local most = math.max(1, math.min(128, math.floor(4096 / math.max(1, #queues))))
local page = redis.call('HSCAN', BODIES, ARGV[1], 'COUNT', int(most))
local mended = 0
for i = 1, #page[2], 2 do
  local member, holders = page[2][i], 0
  for _, queue in ipairs(queues) do
    if redis.call('ZSCORE', queue, member) then holders = holders + 1 end
  end
  if holders == 0 then
    redis.call('HDEL', BODIES, member)
  end
  local others = math.max(0, holders - 1)
  if number(redis.call('HGET', REFS, member)) ~= others then
    if others == 0 then redis.call('HDEL', REFS, member) else redis.call('HSET', REFS, member, int(others)) end
    mended = mended + 1
  elseif holders == 0 then
    mended = mended + 1
  end
end
if page[1] == '0' then
  for s, is in pairs(known) do
    if is == 'empty' then redis.call('UNLINK', tries(s)) end
  end
  if missing > 0 then count('dropped', missing) else count('wanted', -missing) end
  count('parked', -missing)
  write_ledger()
end
return { page[1], mended }
