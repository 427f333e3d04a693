-- Shared by every script of a partition; put in front of each when the scripts are built.
-- KEYS[1] is the partition's event stream: the other keys share its prefix and hash tag.
-- Rules kept here: the first write is one that a full server allows (unlock); whatever can fail is
-- checked before it; time is the server's; numbers are written with %.0f; lists are bounded by callers.

local base = string.sub(KEYS[1], 1, -7)
local EVENTS, REDELIVERIES, DEAD = KEYS[1], base .. 'redeliveries', base .. 'dead'
local BODIES, REFS, LEDGER = base .. 'bodies', base .. 'refs', base .. 'ledger'
local WAKEUPS, BEHIND, REMOVED = base .. 'wakeups', base .. 'behind', base .. 'removed'
local WORKERS, ALONE = base .. 'workers', base .. 'alone'
local RECENT, SOURCES = base .. 'recent', base .. 'sources'
local GROUP = 'workers'
-- How many of the oldest deliveries a probe passes over, at most, to find one that succeeds.
local WALK = 32
-- How many of the oldest due deliveries a drain holds at most without a note of it, `held`, in its circuit
-- (worker/drain/starts.rs).
local HELD = 128

local function retry(s) return base .. 'retry:' .. s end
local function tries(s) return base .. 'tries:' .. s end
local function circuit(s) return base .. 'circuit:' .. s end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function int(n) return string.format('%.0f', n) end
-- Nothing may fail after the first write: a number that an operator's hand spoilt counts as absent.
local function number(text) return tonumber(text or '') or 0 end
local function add(key, field, n)
  local sum = redis.pcall('HINCRBY', key, field, int(n))
  if type(sum) == 'number' then return sum end
  redis.call('HSET', key, field, int(n))
  return n
end

-- A no-op that a server at its memory limit allows; after it the whole script may write.
local function unlock() redis.call('ZREM', WAKEUPS, '') end

-- Refuses to begin when a key was replaced by something else: nothing rolls back after the first write.
local function expect(key, kind)
  local is = redis.call('TYPE', key).ok
  if is ~= 'none' and is ~= kind then
    error('HOLDFAST key ' .. key .. ' is a ' .. is .. ', not a ' .. kind .. ': rename it out of the way')
  end
end
-- Refuses to begin when the user may not run what a script may come to after its first write, reads too: a permission
-- that was taken away since the start would else be missed between two writes. Redis 6.2 can't be asked.
local function expect_permission(command, key, ...)
  if redis.acl_check_cmd(command, key, ...) then return end
  error('NOPERM the user may not run ' .. command .. ' on ' .. key)
end
local function expect_permissions()
  if not redis.acl_check_cmd then return end
  expect_permission('XACK', EVENTS, GROUP, '0') expect_permission('XDEL', EVENTS, '0')
  expect_permission('XPENDING', EVENTS, GROUP) expect_permission('XADD', DEAD, '*', '', '')
  expect_permission('ZADD', WAKEUPS, '0', '') expect_permission('ZREM', WAKEUPS, '')
  expect_permission('ZSCORE', REMOVED, '') expect_permission('ZCARD', WAKEUPS)
  expect_permission('ZRANGE', WAKEUPS, '0', '0') expect_permission('ZRANGEBYSCORE', WAKEUPS, '0', '0')
  expect_permission('SADD', BEHIND, '') expect_permission('SREM', BEHIND, '') expect_permission('SISMEMBER', BEHIND, '')
  expect_permission('HSET', BODIES, '', '') expect_permission('HSETNX', BODIES, '', '')
  expect_permission('HDEL', BODIES, '') expect_permission('HINCRBY', LEDGER, '', '0')
  expect_permission('HGET', BODIES, '') expect_permission('HMGET', BODIES, '')
end
local function expect_partition()
  expect_permissions()
  expect(EVENTS, 'stream') expect(REDELIVERIES, 'stream') expect(DEAD, 'stream')
  expect(BODIES, 'hash') expect(REFS, 'hash') expect(LEDGER, 'hash') expect(ALONE, 'hash')
  expect(WAKEUPS, 'zset') expect(BEHIND, 'set') expect(REMOVED, 'zset') expect(WORKERS, 'zset')
end
local function is_removed(s) return redis.call('ZSCORE', REMOVED, s) ~= false end
local function expect_subscription(s)
  expect(retry(s), 'zset') expect(tries(s), 'hash') expect(circuit(s), 'hash')
end

-- Ledger totals are collected and written once at the end of a script.
local totals = {}
local function count(name, n) totals[name] = (totals[name] or 0) + n end
local function write_ledger()
  for name, n in pairs(totals) do
    if n ~= 0 then add(LEDGER, name, n) end
  end
  totals = {}
end

-- Notes what became of settled events, [member, note, …], in one entry of `recent`. Only this note is lost where
-- that can't be written: nothing that is delivered or parked depends on it.
local function remember(notes)
  if #notes > 0 then redis.pcall('XADD', RECENT, '*', unpack(notes)) end
end

-- Whether the entry is pending at this worker.
local function mine(stream, id, worker)
  return #redis.call('XPENDING', stream, GROUP, id, id, 1, worker) > 0
end

-- Whether a worker has taken the redelivery, or may have; until then nobody sends anything.
local function is_taken(entry)
  local pending = redis.pcall('XPENDING', REDELIVERIES, GROUP, entry, entry, 1)
  return pending.err ~= nil or #pending > 0
end

-- The soonest wake-up this script made, for the caller's scheduler.
local soonest = nil

-- The only maker of wake-ups. 'NX' sets one where there is none, 'LT' also makes one earlier; never later.
local function arm(s, at, how)
  local c = redis.call('HMGET', circuit(s), 'suspended', 'entry', 'not_before')
  if c[1] or c[2] or redis.call('ZCARD', retry(s)) == 0 then return end
  at = math.max(at, number(c[3]))
  redis.call('ZADD', WAKEUPS, how, int(at), s)
  if not soonest or at < soonest then soonest = at end
end
local function arm_earliest(s)
  local first = redis.call('ZRANGE', retry(s), 0, 0, 'WITHSCORES')
  if first[1] then arm(s, math.max(tonumber(first[2]), now), 'LT') end
end
local function ms_to_soonest()
  if not soonest then return -1 end
  return math.max(0, soonest - now)
end

local function is_behind(s) return redis.call('SISMEMBER', BEHIND, s) == 1 end
local function set_behind(s)
  if redis.call('SADD', BEHIND, s) == 0 then return end
  redis.call('HSET', circuit(s), 'behind', '1', 'since', int(now))
  add(LEDGER, 'behind_version', 1)
end
local function clear_behind(s)
  redis.call('HDEL', circuit(s), 'behind', 'since')
  if redis.call('SREM', BEHIND, s) == 1 then add(LEDGER, 'behind_version', 1) end
end

-- Opens the circuit; true when it was closed before. A redelivery that is out then is a drain, not a probe: its note
-- says so from now on.
local function open_circuit(s, err)
  set_behind(s)
  local opened = redis.call('HSETNX', circuit(s), 'open', int(now)) == 1
  if opened and redis.call('HGET', circuit(s), 'entry') then redis.call('HSETNX', circuit(s), 'held', int(HELD)) end
  redis.call('HSET', circuit(s), 'error', err)
  return opened
end
-- Closes the circuit after an answer; true when it was open before.
local function close_circuit(s)
  local was = redis.call('HDEL', circuit(s), 'open') == 1
  redis.call('HDEL', circuit(s), 'failures', 'not_before', 'suspect', 'answer', 'same', 'skip')
  return was
end
-- Nothing is due any more: the circuit is closed and the subscription no longer behind; what went wrong before is
-- forgotten, unless something waits for a time of its own.
local function settle_down(s)
  close_circuit(s)
  clear_behind(s)
  if redis.call('ZCARD', retry(s)) == 0 then redis.call('HDEL', circuit(s), 'error') end
  arm_earliest(s)
end
local function floor_not_before(s, ms)
  if ms <= 0 then return end
  if now + ms > number(redis.call('HGET', circuit(s), 'not_before')) then redis.call('HSET', circuit(s), 'not_before', int(now + ms)) end
end

-- Parks a delivery (never for a removed subscription: callers look first). Queue member and body live and
-- die together. Returns whether it is new.
local function park(s, member, score, body, column)
  if redis.call('ZADD', retry(s), 'NX', int(score), member) == 0 then return false end
  if redis.call('HSETNX', BODIES, member, body) == 0 then add(REFS, member, 1) end
  count(column, 1) count('parked', 1)
  return true
end
-- Gives up one holder of a body; the last one takes it along.
local function release(member)
  local others = number(redis.call('HGET', REFS, member))
  if others <= 0 then
    redis.call('HDEL', BODIES, member)
  elseif others == 1 then
    redis.call('HDEL', REFS, member)
  else
    add(REFS, member, -1)
  end
end
-- Takes a delivery out of its queue; true where it was there.
local function unpark(s, member)
  if redis.call('ZREM', retry(s), member) == 0 then return false end
  redis.call('HDEL', tries(s), member)
  release(member)
  count('parked', -1)
  return true
end

-- tries: "<attempts> <refusals> <first failure ms> <last error>"
local function read_tries(s, member)
  local text = redis.call('HGET', tries(s), member)
  if not text then return 0, 0, int(now) end
  local attempts, refusals, first = string.match(text, '^(%d+) (%d+) (%d+) ')
  return number(attempts), number(refusals), first or int(now)
end
local function note_try(s, member, refused, err)
  local attempts, refusals, first = read_tries(s, member)
  attempts = attempts + 1
  if refused then refusals = refusals + 1 end
  redis.call('HSET', tries(s), member, int(attempts) .. ' ' .. int(refusals) .. ' ' .. first .. ' ' .. err)
  return attempts, refusals
end

-- Moves a parked delivery into the dead letters.
local function bury(s, member, reason, err)
  local body = redis.call('HGET', BODIES, member) or ''
  local attempts, _, first = read_tries(s, member)
  if not unpark(s, member) then return false end
  redis.call('XADD', DEAD, '*', 'subscription', s, 'member', member, 'reason', reason, 'error', err,
    'attempts', int(attempts), 'first_failure', first, 'body', body)
  count('dead_lettered', 1)
  return true
end

-- Ends a redelivery: acknowledged, deleted, and no longer the outstanding one.
local function done(s, id)
  redis.call('XACK', REDELIVERIES, GROUP, id)
  redis.call('XDEL', REDELIVERIES, id)
  redis.call('HDEL', ALONE, id)
  if redis.call('HGET', circuit(s), 'entry') == id then redis.call('HDEL', circuit(s), 'entry', 'held') end
end
-- Re-injects a subscription as one entry of the redelivery stream; its wake-up is already gone.
local function reinject(s)
  local id = redis.call('XADD', REDELIVERIES, '*', 'subscription', s)
  redis.call('HSET', circuit(s), 'entry', id)
end
local function has_due(s)
  return #redis.call('ZRANGEBYSCORE', retry(s), '-inf', int(now), 'LIMIT', 0, 1) > 0
end
