-- Many tasks, all at once: the group's id ('' if they are none), its `then`,
-- and how many tasks come. Returns how many of them are new and, of each, the
-- id and state of the task its key is of, or '' twice.
local group, chain, count = ARGV[5], ARGV[6], tonumber(ARGV[7])
local at, open, found = 8, 0, {}
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
