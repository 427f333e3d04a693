-- What a drain is to send next: the oldest due deliveries that it does not hold yet, or one probe.
-- In:  ARGV redelivery, subscription, worker, how many, dead-after in ms, equal answers that make the oldest
--      a suspect, how many of the oldest are held for sure, then the last of the members that the drain holds
-- Out: ['lost'] not ours | ['done'] ended here | ['empty'] nothing due beyond what is held |
--      ['rest'] nothing more may be sent now; the redelivery stays until what the drain holds is reported |
--      ['probe' or 'drain', failures, live workers, [members passed over for the probe],
--       [member, body or false, tries or false]…]
-- Keeps: 2, 5; the floor of Retry-After is never undercut; no second drain begins while this one holds anything.
-- The circuit's `held` says how many a drain holds where those are more than HELD: so many are left to it by limits.

local id, s, worker = ARGV[1], ARGV[2], ARGV[3]
local most, dead_after, suspect_after, skip = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
expect_partition()
expect_subscription(s)
if not mine(REDELIVERIES, id, worker) then return { 'lost' } end

local c = redis.call('HMGET', circuit(s), 'entry', 'suspended', 'open', 'not_before', 'failures', 'suspect', 'same',
  'answer', 'skip', 'held')
local entry, suspended, open, not_before = c[1], c[2], c[3], number(c[4])
local holding = skip + #ARGV - 7
if entry ~= id or is_removed(s) then
  done(s, id)
  return { 'done' }
end
local floored = open and not_before > now
-- What the drain holds may be on its way: ended here, it could be sent by a second drain, or become a dead letter.
if (suspended or floored) and holding > 0 then return { 'rest' } end
if suspended then
  done(s, id)
  return { 'done' }
end
if floored then
  done(s, id)
  arm(s, not_before, 'NX')
  return { 'done', ms_to_soonest() }
end

local held = {}
for i = 8, #ARGV do held[ARGV[i]] = true end
-- Which of them a probe could be is not known here: it comes when the drain holds fewer.
if open and skip > 0 then return { 'empty' } end
if open then most = WALK + 1 end
local due = redis.call('ZRANGEBYSCORE', retry(s), '-inf', int(now), 'LIMIT', int(skip), most + #ARGV - 7)
local members = {}
for _, member in ipairs(due) do
  if not held[member] and #members < most then members[#members + 1] = member end
end
if not open and (c[10] or holding + #members > HELD) then
  unlock()
  if holding + #members > HELD then
    redis.call('HSET', circuit(s), 'held', int(holding + #members))
  else
    redis.call('HDEL', circuit(s), 'held')
  end
end
if #members == 0 then
  if open and holding == 0 and redis.call('ZCARD', retry(s)) > 0 then
    done(s, id)
    arm_earliest(s)
    return { 'done', ms_to_soonest() }
  end
  return { 'empty' }
end

local suspects = {}
if open then
  local probe = 1
  if c[6] == members[1] and number(c[7]) >= suspect_after then
    local skip = math.max(1, number(c[9]))
    if members[skip + 1] then probe = skip + 1 end
  end
  for i = 1, probe - 1 do suspects[i] = members[i] end
  members = { members[probe] }
end
local live = redis.call('ZCOUNT', WORKERS, int(now - dead_after), '+inf')
local answer = { open and 'probe' or 'drain', number(c[5]), live, suspects }
local bodies = redis.call('HMGET', BODIES, unpack(members))
local tried = redis.call('HMGET', tries(s), unpack(members))
for i, member in ipairs(members) do answer[#answer + 1] = { member, bodies[i], tried[i] } end
return answer
