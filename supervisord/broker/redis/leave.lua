-- Gives back what the caller has claimed, some of it at a time, and with the
-- last of it the lease. Returns 1 if there is more.
local chunk = tonumber(ARGV[5])
local claims = P .. 'c:' .. me
call('PERSIST', P .. 'n:' .. me) -- see carried_out
local ids = call('ZRANGE', claims, 0, chunk - 1)
for _, id in ipairs(ids) do
	give_back(id, false)
	call('ZREM', claims, id)
end
if #ids == chunk then
	return { 'ok', 1 }
end
call('ZREM', P .. 'brokers', me)
call('EXPIRE', P .. 'b:' .. me, 7 * 86400)
call('EXPIRE', P .. 'n:' .. me, 7 * 86400)
return { 'ok', 0 }
