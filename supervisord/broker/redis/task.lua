-- One task, with payload and result.
local row = call('HGETALL', P .. 't:' .. ARGV[5])
local expires = call('HGET', P .. 't:' .. ARGV[5], 'ex')
local over = expires and tonumber(expires) > 0 and
	call('ZSCORE', P .. 'x', ARGV[5]) and tonumber(expires) <= now_ms()
if #row == 0 or over then
	return { 'none' }
end
return { 'ok', row }
