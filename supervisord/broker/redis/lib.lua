-- In front of every script; behind it, where they are needed (scripts.def),
-- ends.lua, queue.lua, put.lua, slots.lua and back.lua: each function costs each
-- time. The keys are described in README.md.
--
-- ARGV begins alike everywhere: the prefix of channels, who calls (the hex of
-- the broker's identity), the number of the operation (16 digits; '' if it only
-- reads), and '1' if it was carried out before and only the answer got lost.
-- Ids and ranks stay strings: as text Lua would round them.

local call = redis.call
local P = 'supervisord:'
local chan, me, seq, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local QUEUED, SCHEDULED, RUNNING, DONE = '0', '1', '2', '3'
local FAILED, CANCELLED, DEAD = '4', '5', '6'

-- What comes late by a connection that was given up: it is another's turn.
if seq ~= '' and not again and
	seq <= call('GETRANGE', P .. 'n:' .. me, -16, -1) then
	return { 'stale' }
end

-- The clock of Redis: the one that all supervisords have in common.
local function now_ms()
	local t = call('TIME')
	return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Has to come before all else that is written: PERSIST needs no memory, and once
-- a script has written, a Redis that is out of memory lets it go on, so that
-- tasks can end there.
--
-- Each number is remembered, not just the last: the one before it may have come
-- to nothing (the Redis was busy, out of memory, had no scripts), and its answer
-- may have got lost. 16384 of them are four times what is ever on the way.
local function carried_out()
	local key = P .. 'n:' .. me
	call('PERSIST', key)
	if call('APPEND', key, seq) >= 2 * 262144 then
		call('SET', key, call('GETRANGE', key, -262144, -1))
	end
end

local function counts(worker)
	return call('HMGET', P .. 'p:' .. worker, '0', '1', '2', '3', '4', '5', '6')
end

-- One write costs more than two that are read.
local function state_changes(worker, from, to)
	if from ~= to then
		local key = P .. 'p:' .. worker
		local a, b = unpack(call('HMGET', key, from, to))
		call('HSET', key, from, (a or 0) - 1, to, (b or 0) + 1)
	end
end
