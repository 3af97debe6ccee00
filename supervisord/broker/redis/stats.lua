-- A worker's counts, whether its queue is paused, and until when.
local set = call('HMGET', P .. 'p:' .. ARGV[5], 'p', 'u')
return { 'ok', counts(ARGV[5]), set[1] or '0', set[2] or '0' }
