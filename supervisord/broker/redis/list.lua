-- Tasks, newest first: of a worker or '', in these states ('035'; '': any), with
-- ids below this one ('': from the newest), so many, and how many may be looked
-- at in one go. Returns the id behind which to go on ('': that was all) and the
-- tasks, without payload and result.
local worker, states, before = ARGV[5], ARGV[6], ARGV[7]
local limit, most = tonumber(ARGV[8]), tonumber(ARGV[9])
local rows, go_on, ids = {}, '', nil
local now = now_ms()

if states == RUNNING then
	-- What runs is claimed by somebody.
	ids = {}
	for _, who in ipairs(call('ZRANGE', P .. 'brokers', 0, -1)) do
		for _, id in ipairs(call('ZRANGE', P .. 'c:' .. who, 0, -1)) do
			if before == '' or id < before then
				ids[#ids + 1] = id
			end
		end
	end
	table.sort(ids, function(a, b) return a > b end)
else
	local rare = states == FAILED or states == CANCELLED or states == DEAD
	ids = call('ZREVRANGEBYSCORE', rare and P .. 'l:' .. states or P .. 'all',
		before == '' and '+inf' or '(' .. before, '-inf', 'LIMIT', 0, most)
	if #ids == most then
		go_on = ids[most]
	end
end

local names = { 'w', 's', 'f', 'k', 'lk', 'pr', 'r', 'd', 'c', 'st', 'fi', 'ex',
	'ti', 'tt', 're', 'n', 'fl', 'cr', 'vi', 'pa', 'g', 'fm', 'sm', 'in', 'ho', 'e', 'wo',
	'j', 'rj', 'th' }
for _, id in ipairs(ids) do
	local key = P .. 't:' .. id
	local of, state, expires = unpack(call('HMGET', key, 'w', 's', 'ex'))
	local over = expires and tonumber(expires) > 0 and
		tonumber(expires) <= now and call('ZSCORE', P .. 'x', id)
	if of and not over and (worker == '' or of == worker) and
		(states == '' or string.find(states, state, 1, true)) then
		if #rows >= 2 * limit then
			return { 'ok', '', rows }
		end
		local row = {}
		for i, value in ipairs(call('HMGET', key, unpack(names))) do
			if value then
				row[#row + 1] = names[i]
				row[#row + 1] = value
			end
		end
		rows[#rows + 1] = id
		rows[#rows + 1] = row
	end
end
return { 'ok', go_on, rows }
