-- A new task: the most that may wait (0: any number), the task. Returns the id
-- of the task its key is of, and the worker's counts.
local limit, worker, key = tonumber(ARGV[5]), ARGV[7], ARGV[11]
if again then
	return { 'ok', '0', counts(worker) }
end
if limit > 0 then
	local c = call('HMGET', P .. 'p:' .. worker, QUEUED, SCHEDULED)
	if (c[1] or 0) + (c[2] or 0) >= limit then
		local other = key ~= '' and call('GET', P .. 'k:' .. worker .. ':' .. key)
		return { other and 'ok' or 'full', other or '0', counts(worker) }
	end
end
local bad = foreign(worker, ARGV[8])
if bad then
	return bad
end
local other = insert(6)
if not other then
	carried_out()
end
return { 'ok', other or '0', counts(worker) }
