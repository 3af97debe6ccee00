-- A task that was claimed is anybody's again. victim: its process is gone with
-- its supervisord, as far as anybody knows.
local function give_back(id, victim)
	local key = P .. 't:' .. id
	local worker, state, rank, cancel, limit_key =
		unpack(call('HMGET', key, 'w', 's', 'r', 'cx', 'lk'))
	if not worker then
		return
	end
	free_slot(worker, limit_key, id)
	if cancel then
		end_cancelled(id, worker, state)
		return
	end
	enqueue(worker, id, rank)
	call('HSET', key, 's', QUEUED, 'h', '')
	if state == RUNNING and victim then
		call('HINCRBY', key, 'vi', 1)
	end
	state_changes(worker, state, QUEUED)
end

-- A broker may take tasks of others when it has been in touch with this Redis
-- for one whole lease: after an outage all get the time to come back.
local function may_reap(now, lease)
	local mine = call('ZSCORE', P .. 'brokers', me)
	local since = call('HGET', P .. 'b:' .. me, 'since')
	return mine and tonumber(mine) >= now and since and since + lease <= now
end
