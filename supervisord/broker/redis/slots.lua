-- Caps and rates by limit key: a task takes a slot of its key, and a token, when
-- it is claimed (refill.lua). One for which there is none waits with its key,
-- where nobody walks over it, until a slot is free or it is time to look.

-- What a lost slot or another's settings can delay, and no more than that.
local LOOK_MS = 10000

-- The first that waits with the key is queued again. It may find that another
-- was quicker, and waits once more then.
local function unpark(worker, key)
	local waits = P .. 'lq:' .. worker .. ':' .. key
	local id = call('ZRANGE', waits, 0, 0)[1]
	if id then
		local rank = call('HGET', P .. 't:' .. id, 'r')
		if rank then
			enqueue(worker, id, rank)
		end
		call('ZREM', waits, id)
	end
	if call('EXISTS', waits) == 0 then
		call('ZREM', P .. 'p:' .. worker .. ':l', key)
	end
end

-- It is claimed no more. By its id: nothing is free twice.
local function free_slot(worker, key, id)
	if key and call('SREM', P .. 'lr:' .. worker .. ':' .. key, id) == 1 then
		unpark(worker, key)
	end
end
