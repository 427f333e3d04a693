-- Repairs what an operator's hand broke, for a bounded list of subscriptions: a queue that nothing will wake, and
-- being behind noted in one of its two places only.
-- In:  ARGV subscriptions
-- Out: [how many were repaired, ms to the soonest wake-up made or -1]
-- Keeps: 3. A redelivery that is neither pending nor newly added is given up when two audits in a row saw it so;
-- it is deleted then, for a worker that is only late would find it stale.

expect_partition()
for _, s in ipairs(ARGV) do expect_subscription(s) end
local unlocked = false
local function begin()
  if not unlocked then unlock() end
  unlocked = true
end

-- Whether the outstanding redelivery will still reach a worker.
local function is_out(s, entry)
  local found = redis.pcall('XRANGE', REDELIVERIES, entry, entry)
  if found.err or #found == 0 then return false end
  if #redis.call('XPENDING', REDELIVERIES, GROUP, entry, entry, 1) > 0 then return true end
  if redis.call('HGET', circuit(s), 'audited') == entry then return false end
  begin()
  redis.call('HSET', circuit(s), 'audited', entry)
  return true
end

local repaired = 0
for _, s in ipairs(ARGV) do
  local c = redis.call('HMGET', circuit(s), 'suspended', 'entry', 'behind', 'open')
  local waiting = redis.call('ZCARD', retry(s)) > 0
  local wakeup = redis.call('ZSCORE', WAKEUPS, s)
  if waiting and not c[1] and not wakeup and not (c[2] and is_out(s, c[2])) then
    begin()
    if c[2] then redis.pcall('XDEL', REDELIVERIES, c[2]) end
    redis.call('HDEL', circuit(s), 'entry', 'audited')
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
