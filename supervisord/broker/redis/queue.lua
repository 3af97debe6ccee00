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

-- In how many ms a task of the worker is due, or a limit key is to be looked at;
-- 0: none.
local function next_due(worker, now)
	local first = 0
	for _, what in ipairs({ ':d', ':l' }) do
		local key = P .. 'p:' .. worker .. what
		local at = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
		if at then
			local left = math.max(1, math.ceil(at - now))
			first = first == 0 and left or math.min(first, left)
		end
	end
	return first
end
