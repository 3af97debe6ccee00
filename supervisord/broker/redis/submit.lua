-- A new task: the most that may wait (0: any number), the task. Returns the id
-- of the task its key is of, and the worker's counts.
local limit, id, worker, key = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[11]
if again then
	local no = refused_before()
	if no then
		return { no, '0', counts(worker) }
	end
	local other = key ~= '' and call('GET', P .. 'k:' .. worker .. ':' .. key)
	return { 'ok', other and other ~= id and other or '0', counts(worker) }
end
if limit > 0 then
	local c = call('HMGET', P .. 'p:' .. worker, QUEUED, SCHEDULED)
	if (c[1] or 0) + (c[2] or 0) >= limit then
		local other = key ~= '' and call('GET', P .. 'k:' .. worker .. ':' .. key)
		if not other then
			refused('full')
		end
		return { other and 'ok' or 'full', other or '0', counts(worker) }
	end
end
local other = insert(6)
carried_out()
return { 'ok', other or '0', counts(worker) }
