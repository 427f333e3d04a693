-- Repairs what an operator's hand broke, or a clock that was ahead, for a bounded list of subscriptions: a queue that
-- nothing will wake in time, and being behind noted in one of its two places only.
-- In:  ARGV per subscription: id, the longest it may have to wait in ms
-- Out: [how many were repaired, ms to the soonest wake-up made or -1]
-- Keeps: 3, 5. A redelivery that no worker took and that the group will not hand out any more is deleted, for one that
-- is only late would find it stale. One that waits to be handed out is left alone however long that takes.

-- At most so many deliveries of all these subscriptions get a new due time.
local MOST = 256

expect_partition()
for i = 1, #ARGV, 2 do expect_subscription(ARGV[i]) end
local groups = redis.pcall('XINFO', 'GROUPS', REDELIVERIES)
if groups.err and not string.find(groups.err, 'no such key', 1, true) then return groups end
local handed_out = nil
for _, group in ipairs(groups) do
  local is_ours = false
  for i = 1, #group, 2 do
    if group[i] == 'name' then is_ours = group[i + 1] == GROUP end
    if group[i] == 'last-delivered-id' and is_ours then handed_out = group[i + 1] end
  end
end

local unlocked = false
local function begin()
  if not unlocked then unlock() end
  unlocked = true
end

-- Whether the outstanding redelivery will still reach a worker: Redis compares the ids.
local function is_out(entry)
  local found = redis.pcall('XRANGE', REDELIVERIES, entry, entry)
  if found.err or #found == 0 then return false end
  if #redis.call('XPENDING', REDELIVERIES, GROUP, entry, entry, 1) > 0 then return true end
  return handed_out ~= nil and #redis.call('XRANGE', REDELIVERIES, '(' .. handed_out, entry, 'COUNT', 1) > 0
end

-- Times that no wait could have set come from a clock that was ahead.
local left = MOST
local function bring_back(s, far)
  local mended = false
  if number(redis.call('HGET', circuit(s), 'not_before')) > far then
    begin()
    redis.call('HDEL', circuit(s), 'not_before')
    mended = true
  end
  if left > 0 then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', retry(s), '(' .. int(far), '+inf', 'LIMIT', 0, left)) do
      begin()
      redis.call('ZADD', retry(s), 'XX', int(now), member)
      left, mended = left - 1, true
    end
  end
  if mended or (tonumber(redis.call('ZSCORE', WAKEUPS, s) or '') or 0) > far then
    begin()
    arm(s, now, 'LT')
    return true
  end
  return false
end

local repaired = 0
for i = 1, #ARGV, 2 do
  local s, longest = ARGV[i], tonumber(ARGV[i + 1])
  local c = redis.call('HMGET', circuit(s), 'suspended', 'entry', 'behind', 'open')
  local waiting = redis.call('ZCARD', retry(s)) > 0
  if waiting and bring_back(s, now + longest) then repaired = repaired + 1 end
  local wakeup = redis.call('ZSCORE', WAKEUPS, s)
  if waiting and not c[1] and not wakeup and not (c[2] and is_out(c[2])) then
    begin()
    if c[2] then redis.pcall('XDEL', REDELIVERIES, c[2]) end
    redis.call('HDEL', circuit(s), 'entry', 'held')
    arm(s, now, 'LT')
    repaired = repaired + 1
  end
  if (c[3] ~= false) ~= is_behind(s) then
    begin()
    clear_behind(s)
    if waiting or c[1] or c[4] then set_behind(s) end
    repaired = repaired + 1
  end
end
return { repaired, ms_to_soonest() }
