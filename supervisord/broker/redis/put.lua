local function put_off(worker, id, due)
	local key = P .. 'p:' .. worker .. ':d'
	call('ZADD', key, due, id)
	if call('ZRANGE', key, 0, 0)[1] == id then
		local ms = math.max(1, due - now_ms())
		call('PUBLISH', chan .. 'p:' .. worker, 'due ' .. ms)
	end
end

-- Somebody else's key under a name of ours.
local function wrong(command, key)
	if type(redis.pcall(command, key)) == 'table' then
		return redis.error_reply('WRONGTYPE ' .. key .. ' is not what it was ' ..
			'made as: somebody else has written to it (TYPE, RENAME, DEL)')
	end
end

-- Before anything is written: what a new task of the worker in this state needs.
-- Returns the error to be returned.
local function foreign(worker, state)
	local pool = P .. 'p:' .. worker
	return wrong('HLEN', pool) or wrong('ZCARD', P .. 'all') or
		wrong('ZCARD', pool .. (state == SCHEDULED and ':d' or ':q'))
end

-- Stores the task that is at ARGV[i]: id, worker, state, rank, due, key, then
-- the number of what follows and its other fields. Returns the id of the task
-- its key is of, or false if it is new, and where ARGV goes on.
local function insert(i)
	local id, worker, state, rank, due, key, n = unpack(ARGV, i, i + 6)
	local last = i + 6 + n
	if key ~= '' then
		local other = call('GET', P .. 'k:' .. worker .. ':' .. key)
		if other then
			return other, last + 1
		end
	end
	local t = call('TIME')
	if call('ZADD', P .. 'all', 'NX', t[1] * 1000000 + t[2], id) == 0 then
		return id, last + 1
	end
	if key ~= '' then
		call('SET', P .. 'k:' .. worker .. ':' .. key, id)
	end
	call('HSET', P .. 't:' .. id, 'w', worker, 's', state, 'r', rank,
		unpack(ARGV, i + 7, last))
	call('HINCRBY', P .. 'p:' .. worker, state, 1)
	if state == SCHEDULED then
		put_off(worker, id, due)
	else
		enqueue(worker, id, rank)
	end
	return false, last + 1
end
