-- Many tasks, all at once: the group's id ('' if they are none), its `then`, how
-- many workers have a limit, each with the most that may wait, how many tasks
-- come, and these. Returns how many of them are new and, of each, the id and
-- state of the task its key is of, or '' twice.
local group, chain, limits = ARGV[5], ARGV[6], tonumber(ARGV[7])
local first = 9 + 2 * limits
local count = tonumber(ARGV[first - 1])

-- All or none: there is room for those that are new.
local function full()
	local new, seen, at = {}, {}, first
	for _ = 1, count do
		local worker, key = ARGV[at + 1], ARGV[at + 5]
		local name = P .. 'k:' .. worker .. ':' .. key
		if key == '' or not (seen[name] or call('GET', name)) then
			new[worker] = (new[worker] or 0) + 1
			seen[name] = key ~= ''
		end
		at = at + 7 + ARGV[at + 6]
	end
	for i = 8, first - 2, 2 do
		local c = call('HMGET', P .. 'p:' .. ARGV[i], QUEUED, SCHEDULED)
		local more = new[ARGV[i]] or 0
		if more > 0 and
			(c[1] or 0) + (c[2] or 0) + more > tonumber(ARGV[i + 1]) then
			return true
		end
	end
	return false
end

if not again and limits > 0 and full() then
	return { 'full' }
end
local at, seen = first, {}
for _ = 1, again and 0 or count do
	local where = ARGV[at + 1] .. ' ' .. ARGV[at + 2]
	local bad = not seen[where] and foreign(ARGV[at + 1], ARGV[at + 2])
	if bad then
		return bad
	end
	seen[where] = true
	at = at + 7 + ARGV[at + 6]
end
local open, found = 0, {}
at = first
for i = 1, count do
	local id, worker, key = ARGV[at], ARGV[at + 1], ARGV[at + 5]
	local other
	if again then
		other = key ~= '' and call('GET', P .. 'k:' .. worker .. ':' .. key)
		at = at + 7 + ARGV[at + 6]
		if other == id then
			other = false
		end
	else
		other, at = insert(at)
	end
	if other then
		found[2 * i - 1] = other
		found[2 * i] = call('HGET', P .. 't:' .. other, 's') or QUEUED
	else
		found[2 * i - 1], found[2 * i] = '', ''
		open = open + 1
		if group ~= '' and not again then
			call('RPUSH', P .. 'g:' .. group .. ':m', id)
		end
	end
end
if not again then
	carried_out()
	if group ~= '' then
		call('HSET', P .. 'g:' .. group, 'open', open, 'then', chain)
		if open == 0 then
			call('ZADD', P .. 'groups', now_ms(), group)
		end
	end
end
return { 'ok', open, found }
