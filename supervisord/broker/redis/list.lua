-- Tasks, newest first: of a worker or '', in these states ('035'; '': any),
-- behind this id ('': from the newest), so many, how many may be looked at in one
-- go, and the score of that id where one goes on (''). Returns the id and the
-- score behind which to go on ('': that was all), and the tasks, without payload
-- and result.
--
-- Newest by the scores of `all`: ids are drawn in blocks, of which each broker has
-- its own.
local worker, states, before = ARGV[5], ARGV[6], ARGV[7]
local limit, most, from = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local rows, go_on, score, ids = {}, '', '', nil
local all = P .. 'all'
local now = now_ms()

if before ~= '' and from == '' then
	from = call('ZSCORE', all, before)
	if not from then
		return { 'none' }
	end
end

-- Where the list begins in a zset. What is not in it any more is behind all that
-- came in with it.
local function first(key)
	if before == '' then
		return 0
	end
	local rank = call('ZREVRANK', key, before)
	return rank and rank + 1 or call('ZCOUNT', key, from, '+inf')
end

if states == RUNNING then
	-- What runs is claimed by somebody.
	local times = {}
	ids = {}
	for _, who in ipairs(call('ZRANGE', P .. 'brokers', 0, -1)) do
		for _, id in ipairs(call('ZRANGE', P .. 'c:' .. who, 0, -1)) do
			local at = tonumber(call('ZSCORE', all, id) or '0')
			local behind = before == '' or at < tonumber(from)
			if behind or (at == tonumber(from) and id < before) then
				ids[#ids + 1] = id
				times[id] = at
			end
		end
	end
	table.sort(ids, function(a, b)
		return times[a] > times[b] or (times[a] == times[b] and a > b)
	end)
else
	local rare = states == FAILED or states == CANCELLED or states == DEAD
	local key = rare and P .. 'l:' .. states or all
	local at = first(key)
	ids = call('ZREVRANGE', key, at, at + most - 1)
	if #ids == most then
		go_on, score = ids[most], call('ZSCORE', key, ids[most])
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
			return { 'ok', '', rows, '' }
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
return { 'ok', go_on, rows, score }
