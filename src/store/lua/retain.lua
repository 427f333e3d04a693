-- Finds what a subscription holds beyond its limits, oldest first (in the order in which it would be sent), and makes
-- it dead letters, or offers it to one worker that writes it to a file.
-- In:  ARGV subscription, how ('bury' or 'offer'), deliveries to keep or '', longest age in ms or '', reason for
--      one too many, reason for one too old, most to find, how many of those with a due time of their own earlier
--      calls looked at and left; for 'offer' also worker, its lease in ms, about as many bytes of bodies as are wanted;
--      for 'bury' also 'whole' for a suspended subscription, where nothing is left to a drain
-- Out: ['moved', one too many, too old, where to go on or -1] | ['busy'] another worker writes them, or, for 'whole',
--      a drain that began before the suspension is still out |
--      ['offered', the circuit's last error, where to go on or -1, [member, reason, tries or false, body or false]…]
-- Keeps: 2, 3 (it makes no queue less wakeable: a wake-up that finds the queue empty ends the circuit), 5. What a
-- drain may be sending just now is left to it, also where the circuit has opened meanwhile; a probe is not waited for,
-- since it most likely fails.

local s, how = ARGV[1], ARGV[2]
local keep, longest, too_many, too_old = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local most, from = tonumber(ARGV[7]), tonumber(ARGV[8])
local worker, lease, room = ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
expect_partition()
expect_subscription(s)
if is_removed(s) then return { 'moved', 0, 0, -1 } end
local c = redis.call('HMGET', circuit(s), 'entry', 'error', 'writer', 'writes_until', 'held', 'open')
if how == 'offer' and c[3] and c[3] ~= worker and number(c[4]) > now then return { 'busy' } end
local is_out = c[1] and is_taken(c[1])
if how == 'bury' and worker == 'whole' and is_out then return { 'busy' } end
local spare = 0
if is_out and (c[5] or not c[6]) then spare = math.max(HELD, number(c[5])) end

local picked, reasons, is_picked = {}, {}, {}
local function pick(member, reason)
  picked[#picked + 1], is_picked[member] = member, true
  reasons[#reasons + 1] = reason
end
local function page(first)
  return redis.call('ZRANGE', retry(s), int(first), int(first + most - 1))
end
-- By the milliseconds in its name; one that a hand spoilt has no age.
local function is_old(member)
  local born = tonumber(string.match(member, '^%a(%d+)%-'))
  return born ~= nil and now - born > longest
end

-- Those due already sort by age. Those with a due time of their own, after them, do not: all are looked at, page
-- by page.
local more = false
local function find_old()
  local due = redis.call('ZCOUNT', retry(s), '-inf', 0)
  if from == 0 then
    for rank, member in ipairs(page(spare)) do
      if spare + rank > due or not is_old(member) then break end
      pick(member, too_old)
    end
  end
  if #picked == most then more = true return end
  local refused = page(math.max(due, spare) + from)
  for _, member in ipairs(refused) do
    if #picked == most then more = true return end
    if is_old(member) then pick(member, too_old) else from = from + 1 end
  end
  more = #refused == most
end
local function find_many()
  local excess = redis.call('ZCARD', retry(s)) - #picked - keep
  if excess <= 0 or #picked == most then return end
  for _, member in ipairs(redis.call('ZRANGE', retry(s), int(spare), int(spare + most + #picked - 1))) do
    if excess == 0 or #picked == most then break end
    if not is_picked[member] then
      pick(member, too_many)
      excess = excess - 1
    end
  end
  more = more or #picked == most
end
if longest then find_old() end
if keep then find_many() end
local go_on = more and from or -1

if how == 'offer' then
  local answer, bytes = { 'offered', c[2] or '', go_on }, 0
  for i, member in ipairs(picked) do
    if bytes > room then
      answer[3] = tonumber(ARGV[8])
      break
    end
    local body = redis.call('HGET', BODIES, member)
    if body then bytes = bytes + #body end
    answer[#answer + 1] = { member, reasons[i], redis.call('HGET', tries(s), member), body }
  end
  if #picked > 0 then
    unlock()
    redis.call('HSET', circuit(s), 'writer', worker, 'writes_until', int(now + lease))
  end
  return answer
end

-- A dead letter has its event for itself: where others wait for the same one, it takes memory instead of freeing any.
-- So a full server, which refuses this no-op, keeps such deliveries until there is room.
local full = type(redis.pcall('ZADD', WAKEUPS, 'XX', '0', '')) == 'table'
local function can_move(member)
  if not full or number(redis.call('HGET', REFS, member)) == 0 then return true end
  go_on = -1
  return false
end
unlock()
local many, old = 0, 0
for i, member in ipairs(picked) do
  local tried = redis.call('HGET', tries(s), member)
  local err = tried and string.match(tried, '^%d+ %d+ %d+ (.*)$') or c[2] or ''
  if can_move(member) and bury(s, member, reasons[i], err) then
    if reasons[i] == too_many then many = many + 1 else old = old + 1 end
  end
end
write_ledger()
return { 'moved', many, old, go_on }
