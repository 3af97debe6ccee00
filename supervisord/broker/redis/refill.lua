-- Claims what is first in the worker's queue: so many, or so many bytes of
-- payload; the cap and the rate of a limit key (0: none). Returns 1 if there is
-- more, the counts and the tasks.
local worker, limit, bytes = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local cap, rate = tonumber(ARGV[8]), tonumber(ARGV[9])
local limited = cap > 0 or rate > 0
local queue = P .. 'p:' .. worker .. ':q'
local claims = P .. 'c:' .. me
-- What is claimed without a lease nobody would ever give back.
local lease = call('ZSCORE', P .. 'brokers', me)
if not lease or tonumber(lease) == 0 then
	return { 'nolease', call('EXISTS', P .. 'b:' .. me) }
end
call('PERSIST', claims) -- see carried_out
local now = limited and now_ms()
local rows, looked = {}, 0

-- The tokens a key has now. They come at its rate, up to those of a second, and
-- at least one.
local function tokens(key)
	local text = call('GET', P .. 'lt:' .. worker .. ':' .. key) or ''
	local left, at = string.match(text, '(%S+) (%S+)')
	if not left or tonumber(at) > now then
		return math.max(rate, 1)
	end
	return math.min(math.max(rate, 1), left + (now - at) / 1000 * rate)
end

local function take_token(key)
	local left = tokens(key) - 1
	local full_in = math.ceil((math.max(rate, 1) - left) / rate * 1000)
	call('SET', P .. 'lt:' .. worker .. ':' .. key,
		string.format('%.6f %.0f', left, now),
		'PX', string.format('%.0f', full_in))
end

-- When one more of the key may begin: now, or a time to look again.
local function may_begin(key)
	if cap > 0 and call('SCARD', P .. 'lr:' .. worker .. ':' .. key) >= cap then
		return now + LOOK_MS
	end
	local left = rate > 0 and tokens(key) or 1
	return left >= 0.99999 and now or now + math.ceil((1 - left) / rate * 1000)
end

-- All who serve the worker look then: by due.lua.
local function look_at(key, at)
	local keys = P .. 'p:' .. worker .. ':l'
	call('ZADD', keys, at, key)
	if at < now + LOOK_MS and call('ZRANGE', keys, 0, 0)[1] == key then
		call('PUBLISH', chan .. 'p:' .. worker, 'due ' .. (at - now))
	end
end

-- One more begins.
local function take_slot(key, id)
	if cap > 0 then
		call('SADD', P .. 'lr:' .. worker .. ':' .. key, id)
	end
	if rate > 0 then
		take_token(key)
	end
	-- Of those that wait with it, maybe one more does.
	if call('EXISTS', P .. 'lq:' .. worker .. ':' .. key) == 1 then
		local at = may_begin(key)
		if at == now then
			unpark(worker, key)
		else
			look_at(key, at)
		end
	end
end

local function park(key, id, at)
	local rank = call('HGET', P .. 't:' .. id, 'r')
	call('ZADD', P .. 'lq:' .. worker .. ':' .. key, rank, id)
	look_at(key, at)
end

local function claim(id, claimed)
	local key = P .. 't:' .. id
	local limit_key = limited and call('HGET', key, 'lk')
	local at = limit_key and may_begin(limit_key)
	if limit_key and at ~= now then
		park(limit_key, id, at)
		return
	end
	local row = call('HGETALL', key)
	if #row == 0 then
		return
	end
	bytes = bytes - call('HSTRLEN', key, 'p')
	call('HSET', key, 'h', me)
	claimed[#claimed + 1] = 0
	claimed[#claimed + 1] = id
	rows[#rows + 1] = id
	rows[#rows + 1] = row
	if limit_key then
		take_slot(limit_key, id)
	end
end

-- Some that wait with their keys may have made place for others.
repeat
	local taken, claimed = {}, {}
	local ids = call('ZRANGE', queue, 0, limit - #rows / 2 - 1)
	for _, id in ipairs(ids) do
		if bytes <= 0 then
			break
		end
		taken[#taken + 1] = id
		claim(id, claimed)
	end
	if #claimed > 0 then
		call('ZADD', claims, unpack(claimed))
	end
	if #taken > 0 then
		call('ZREM', queue, unpack(taken))
	end
	looked = looked + #ids
until not limited or #ids == 0 or #rows >= 2 * limit or bytes <= 0 or
	looked >= 1000
local more = call('EXISTS', queue)
if more == 0 then
	call('SET', P .. 'p:' .. worker .. ':h', 1)
end
return { 'ok', more, counts(worker), rows }
