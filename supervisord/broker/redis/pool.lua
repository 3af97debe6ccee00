-- Pauses a worker's queue or lets it go on: worker, '1' or '0', until when.
local worker, paused, till = unpack(ARGV, 5, 7)
call('PERSIST', P .. 'p:' .. worker) -- see carried_out
call('HSET', P .. 'p:' .. worker, 'p', paused, 'u', till)
call('PUBLISH', chan .. 'p:' .. worker, 'paused ' .. paused .. ' ' .. till)
return { 'ok' }
