-- In front of every script. The keys are described in README.md.
--
-- ARGV begins alike everywhere: the prefix of channels, who calls (the hex of
-- the broker's identity), the number of the operation ('' if it only reads),
-- and '1' if it was carried out before and only the answer got lost.
-- Ids and ranks stay strings: as text Lua would round them.

local call = redis.call
local P = 'supervisord:'
local chan, me, seq, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local QUEUED, SCHEDULED, RUNNING, DONE = '0', '1', '2', '3'
local FAILED, CANCELLED, DEAD = '4', '5', '6'

-- What comes late by a connection that was given up: it is another's turn.
if seq ~= '' and not again and
	tonumber(seq) <= tonumber(call('GET', P .. 'n:' .. me) or '0') then
	return { 'stale' }
end

-- The clock of Redis: the one that all supervisords have in common.
local function now_ms()
	local t = call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Has to be the first write: once a script has written, a Redis that is out of
-- memory lets it go on, so that tasks can end there.
local function carried_out()
	call('DEL', P .. 'n:' .. me)
	call('SET', P .. 'n:' .. me, seq)
end

-- The operation can't be done. Remembered, for an answer that gets lost.
local function refused(code)
	local key = P .. 'r:' .. me
	call('ZADD', key, seq, seq .. ' ' .. code)
	call('ZREMRANGEBYRANK', key, 0, -20001)
	call('EXPIRE', key, 7 * 86400)
	return { code }
end

local function refused_before()
	local found = call('ZRANGEBYSCORE', P .. 'r:' .. me, seq, seq)[1]
	return found and string.match(found, '%a+$')
end

local function counts(worker)
	return call('HMGET', P .. 'p:' .. worker, '0', '1', '2', '3', '4', '5', '6')
end

-- Somebody asked for more than there was: all who serve the worker are told.
local function wake(worker)
	if call('DEL', P .. 'p:' .. worker .. ':h') == 1 then
		call('PUBLISH', chan .. 'p:' .. worker, 'ready')
	end
end

local function enqueue(worker, id, rank)
	call('ZADD', P .. 'p:' .. worker .. ':q', rank, id)
	wake(worker)
end

local function put_off(worker, id, due)
	local key = P .. 'p:' .. worker .. ':d'
	call('ZADD', key, due, id)
	if call('ZRANGE', key, 0, 0)[1] == id then
		local ms = math.max(1, due - now_ms())
		call('PUBLISH', chan .. 'p:' .. worker, 'due ' .. ms)
	end
end

local function state_changes(worker, from, to)
	if from ~= to then
		call('HINCRBY', P .. 'p:' .. worker, from, -1)
		call('HINCRBY', P .. 'p:' .. worker, to, 1)
	end
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
	if call('ZADD', P .. 'all', id, id) == 0 then
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

-- What comes of the end of a task that was in state `from`. Its hash says so
-- already, with `expires` (0: never). Returns the group that is over by it.
local function ended(id, worker, from, to, group, watchers, expires)
	local over = ''
	local held = false
	state_changes(worker, from, to)
	if to ~= DONE then
		call('ZADD', P .. 'l:' .. to, id, id)
	end
	if group and call('EXISTS', P .. 'g:' .. group) == 1 then
		held = true -- until the group's task has its result
		if call('HINCRBY', P .. 'g:' .. group, 'open', -1) <= 0 then
			call('ZADD', P .. 'groups', now_ms(), group)
			over = group
		end
	end
	if expires > 0 and not held then
		call('ZADD', P .. 'x', expires, id)
	end
	for who in string.gmatch(watchers or '', '%x+') do
		call('PUBLISH', chan .. 'b:' .. who, 'ended ' .. id)
	end
	return over
end

-- Ends a task that nobody has claimed (any more) as it was asked to.
local function end_cancelled(id, worker, from)
	local key = P .. 't:' .. id
	local group, watchers, ttl = unpack(call('HMGET', key, 'g', 'wa', 'tt'))
	local now = now_ms()
	local expires = now + (ttl or 0)
	call('HSET', key, 's', CANCELLED, 'h', '', 'fi', now, 'ex', expires)
	return ended(id, worker, from, CANCELLED, group, watchers, expires)
end

-- A task that was claimed is anybody's again. victim: its process is gone with
-- its supervisord, as far as anybody knows.
local function give_back(id, victim)
	local key = P .. 't:' .. id
	local worker, state, rank, cancel =
		unpack(call('HMGET', key, 'w', 's', 'r', 'cx'))
	if not worker then
		return
	end
	if cancel then
		end_cancelled(id, worker, state)
		return
	end
	call('HSET', key, 's', QUEUED, 'h', '')
	if state == RUNNING and victim then
		call('HINCRBY', key, 'vi', 1)
	end
	state_changes(worker, state, QUEUED)
	enqueue(worker, id, rank)
end

-- A broker may take tasks of others when it has been in touch with this Redis
-- for one whole lease: after an outage all get the time to come back.
local function may_reap(now, lease)
	local mine = call('ZSCORE', P .. 'brokers', me)
	local since = call('HGET', P .. 'b:' .. me, 'since')
	return mine and tonumber(mine) >= now and since and since + lease <= now
end
