-- Withdraws from all buckets or from none. Everything is read before anything is written.
--
-- KEYS     the buckets
-- ARGV[1]  the time in microseconds; empty for that of this server
-- ARGV[2]  for how many milliseconds a key outlives its need
-- and of each bucket, in units as limit.Rate.LowestTerms explains them:
--   token  what a token is worth
--   back   how many come back in a microsecond
--   whole  the budget
--   units  how many to withdraw, or to give back if negative
--   peek   1 to withdraw none
--
-- A key holds a time, what was owed then, and how many units came back in a microsecond. No number is above 2^53, up to
-- which Lua's numbers are exact; they are written with %.0f because tostring has 14 digits.
--
-- Returns of the bucket that matters: its position in KEYS, microseconds to wait (0: all were withdrawn), tokens left,
-- and microseconds until it is full.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local owed, ahead = {}, {}
local chosen, wait, left, reset

for i, key in ipairs(KEYS) do
  local a = 5 * i - 2
  local token, back, whole = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local units, peek = tonumber(ARGV[a + 3]), ARGV[a + 4] == '1'

  local owes = 0
  local value = redis.call('GET', key)
  if value then
    local at, was, rate = string.match(value, '^(%d+) (%d+) ([1-9]%d*)$')
    if not at then
      return redis.error_reply('ERR unexpected value of a bucket')
    end
    at, was, rate = tonumber(at), tonumber(was), tonumber(rate)
    -- A clock that was set back refills nothing, and what was taken at a time that has yet to come is owed from now on.
    ahead[i] = at > now
    owes = math.max(0, was - math.max(0, now - at) * rate)
    if rate ~= back then
      -- The rate has changed. What stays is the time to wait.
      owes = math.ceil(owes / rate) * back
    end
    owes = math.min(owes, whole)
  end

  local after, late = math.max(0, owes + units), 0
  if after > whole then
    late = math.ceil((after - whole) / back)
    after = owes
  elseif peek then
    after = owes
  end
  local tokens = math.floor((whole - after) / token)
  if i == 1 or late > wait or (late == 0 and wait == 0 and tokens < left) then
    chosen, wait, left, reset = i, late, tokens, math.ceil(after / back)
  end
  owed[i] = { owes, after, peek }
end

for i, key in ipairs(KEYS) do
  local owes, after, peek = unpack(owed[i])
  if wait > 0 then
    after = owes
  end
  if after == 0 then
    if owes > 0 or ahead[i] then
      redis.call('DEL', key)
    end
  elseif ahead[i] or (wait == 0 and not peek) then
    local back = tonumber(ARGV[5 * i - 1])
    redis.call('SET', key, string.format('%.0f %.0f %.0f', now, after, back),
      'PX', string.format('%.0f', math.ceil(after / back / 1000) + ARGV[2]))
  end
end

return { chosen, wait, left, reset }
