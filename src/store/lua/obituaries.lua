-- The latest dead letters without their events, read only.
-- In:  ARGV how many at most (≤ 16)
-- Out: newest first [id, subscription or '', reason, error, attempts]

local rows = {}
for i, entry in ipairs(redis.call('XREVRANGE', DEAD, '+', '-', 'COUNT', ARGV[1])) do
  local f = {}
  for at = 1, #entry[2], 2 do f[entry[2][at]] = entry[2][at + 1] end
  rows[i] = { entry[1], f.subscription or '', f.reason or '', f.error or '', f.attempts or '0' }
end
return rows
