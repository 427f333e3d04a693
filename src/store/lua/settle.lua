-- Settles events that were read: each of their deliveries becomes delivered, parked or a dead letter in the
-- step that acknowledges the event.
-- In:  ARGV worker, refusals that open a circuit, refusals that bury, then per event:
--      id, member, final (-1 for a chunk that is not the event's last, else how many deliveries of the chunks
--      before it were delivered), alone (1 to clear its mark), reason ('' or why it can never be delivered),
--      body, note for `recent` ('' for none), number of deliveries, then per delivery:
--      subscription, verdict, wait in ms, floor in ms (Retry-After), error
--      verdicts: D delivered, U unavailable, N the same but not tried, B behind, W waited too long, R refused, X given up
-- Out: [ms to the soonest wake-up made or -1, [settled 1 or 0 per event], [subscriptions whose circuit opened]]
-- Keeps: 1 (acknowledge first; 0 writes nothing), 3, 5; the first settlement wins and is complete.

local at = 3
local function take() at = at + 1 return ARGV[at] end
local worker, opens_after, buries_after = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local events, seen = {}, {}
while at < #ARGV do
  local event = { id = take(), member = take(), before = tonumber(take()), alone = take() == '1',
    reason = take(), body = take(), note = take(), deliveries = {} }
  for i = 1, tonumber(take()) do
    local d = { s = take(), verdict = take(), wait = tonumber(take()), floor = tonumber(take()), err = take() }
    event.deliveries[i] = d
    if not seen[d.s] then
      expect_subscription(d.s)
      seen[d.s] = true
    end
  end
  event.final = event.before >= 0
  events[#events + 1] = event
end
expect_partition()

-- Subscriptions whose last outcome in this call was a success: once is enough to say so.
local opened, cleared = {}, {}

local function unavailable(event, d)
  cleared[d.s] = nil
  if park(d.s, event.member, 0, event.body, 'wanted') and d.verdict ~= 'N' then
    note_try(d.s, event.member, false, d.err)
  end
  floor_not_before(d.s, d.floor)
  if open_circuit(d.s, d.err) then opened[#opened + 1] = d.s end
  redis.call('HSETNX', circuit(d.s), 'failures', '1')
  arm(d.s, now + d.wait, 'NX')
end

local verdicts = {
  D = function(event, d)
    if event.final then count('wanted', 1) count('delivered', 1) end
    if cleared[d.s] then return end
    cleared[d.s] = true
    redis.call('HDEL', circuit(d.s), 'refusals')
    if is_behind(d.s) then arm(d.s, now, 'LT') end
  end,
  U = unavailable,
  N = unavailable,
  B = function(event, d)
    cleared[d.s] = nil
    park(d.s, event.member, 0, event.body, 'wanted')
    local was = is_behind(d.s)
    set_behind(d.s)
    arm(d.s, now, was and 'NX' or 'LT')
  end,
  W = function(event, d)
    park(d.s, event.member, 0, event.body, 'wanted')
    arm(d.s, now, is_behind(d.s) and 'NX' or 'LT')
  end,
  R = function(event, d)
    cleared[d.s] = nil
    if add(circuit(d.s), 'refusals', 1) >= opens_after then
      unavailable(event, d)
      return
    end
    if park(d.s, event.member, now + d.wait, event.body, 'wanted') then
      local _, refusals = note_try(d.s, event.member, true, d.err)
      if refusals >= buries_after then
        bury(d.s, event.member, 'refused', d.err)
        return
      end
    end
    redis.call('HSET', circuit(d.s), 'error', d.err)
    arm(d.s, now + d.wait, is_behind(d.s) and 'NX' or 'LT')
  end,
  X = function(event, d)
    if park(d.s, event.member, 0, event.body, 'wanted') then
      note_try(d.s, event.member, false, d.err)
      bury(d.s, event.member, 'attempts used up', d.err)
    end
  end,
}

local function settle(event)
  if event.final then
    if redis.call('XACK', EVENTS, GROUP, event.id) == 0 then return 0 end
    redis.call('XDEL', EVENTS, event.id)
    count('settled', 1) count('wanted', event.before) count('delivered', event.before)
    if event.alone then redis.call('HDEL', ALONE, event.id) end
  else
    if not mine(EVENTS, event.id, worker) then return 0 end
    unlock()
  end
  if event.reason ~= '' then
    redis.call('XADD', DEAD, '*', 'subscription', '', 'member', event.member, 'reason', event.reason,
      'error', '', 'attempts', '0', 'first_failure', int(now), 'body', event.body)
    count('rejected', 1)
  elseif #event.deliveries == 0 then
    count('unwanted', 1)
  end
  for _, d in ipairs(event.deliveries) do
    if d.verdict ~= 'D' and is_removed(d.s) then
      count('wanted', 1) count('dropped', 1)
    else
      verdicts[d.verdict](event, d)
    end
  end
  return 1
end

local answers, notes = {}, {}
for i, event in ipairs(events) do
  answers[i] = settle(event)
  if answers[i] == 1 and event.note ~= '' then
    notes[#notes + 1], notes[#notes + 2] = event.member, event.note
  end
end
write_ledger()
remember(notes)
return { ms_to_soonest(), answers, opened }
