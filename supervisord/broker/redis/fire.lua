-- A schedule's run: its name, the time it was due by it, the most runs that are
-- remembered one by one, the last time that the caller knows of, then '1' and the
-- task, or '0' to only move on. Returns the id of the task of that time, if there
-- is one already, and how many runs others have made since that other time.
local name, fire, keep, since = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local key = P .. 's:' .. name
local floor = call('GET', key .. ':floor')
local ran = call('ZRANGEBYSCORE', key, fire, fire, 'LIMIT', 0, 1)[1]
if ran then
	return { 'ok', string.match(ran, '^%d+') }
end
if floor and tonumber(fire) <= tonumber(floor) then
	return { 'ok', '1' }
end
local id = '1'
local other = false
if ARGV[9] == '1' then
	local bad = foreign(ARGV[11], ARGV[12])
	if bad then
		return bad
	end
	other = insert(10)
	id = other or ARGV[10]
end
local others = call('ZCOUNT', key, '(' .. since, '(' .. fire)
if others > 0 and ARGV[9] == '1' and not other then
	-- Those it does not stand for.
	local task = P .. 't:' .. id
	local missed = (call('HGET', task, 'mi') or 0) - others
	call('HSET', task, 'mi', math.max(missed, 0))
end
call('ZADD', key, fire, id .. ':' .. fire)
local many = call('ZCARD', key) - keep
if many > 0 then
	local cut = call('ZRANGE', key, many - 1, many - 1, 'WITHSCORES')
	call('SET', key .. ':floor', cut[2])
	call('ZREMRANGEBYRANK', key, 0, many - 1)
end
return { 'ok', other or '0', others }
