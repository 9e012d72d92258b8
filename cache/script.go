package cache

import "github.com/redis/go-redis/v9"

// The scripts. They hold no rule of stock: they compare, write what they are given, and read what they are asked for.
// Every key they touch is declared in KEYS, for Redis Cluster silently loses writes to others while a slot moves.
//
// unpack is called with at most argsMax elements, which is what every Lua in question has room for.

// argsMax is how many fields, or fields and values, one command of a script carries.
const argsMax = 800

// commitScript writes one commit.
//
//	KEYS  checkpoint, names, then one for each operation: keys to delete, hashes, sets, sorted sets, strings
//	ARGV  commit id expected ('': no checkpoint), commit id to write, mark of the names expected ('': no checkpoint),
//	      checkpoint to write, count of keys to delete, of hashes, of sets, of sorted sets, of strings, then for each key
//	      but those to delete: count of arguments, below zero if they are to be removed; the arguments
//
// The proof that a commit is stored as a whole, once, and only on top of what it builds on: Redis runs the script alone.
// It writes nothing unless the checkpoint is the expected one, and nothing that can fail is left when it begins to
// write: keys have been seen to be of the type that their commands need, arguments are counted by Go, and Redis refuses
// for memory, disk or replicas before the first write or not at all. A user who lacks a right is told before it, too:
// Redis asks for the right to each command as it comes. The checkpoint comes last; with it, a second run of the same
// commit finds its own id and writes nothing.
var commitScript = redis.NewScript(commitText)

const commitText = `
local head = redis.call('GETRANGE', KEYS[1], 1, 28)
local id = string.sub(head, 1, 16)
if id == ARGV[2] then return 'landed' end
if id ~= ARGV[1] then return 'fenced' end
if string.sub(head, 17) ~= ARGV[3] then return 'names' end
if redis.call('HLEN', KEYS[2]) > 0 and id == '' then return 'leftover' end
` + mayWrite + `local call, pcall = redis.call, redis.pcall
local first = 3 + ARGV[5]
local types = {{'HLEN', 'HSET', 'HDEL'}, {'SCARD', 'SADD', 'SREM'}, {'ZCARD', 'ZADD', 'ZREM'}, {'STRLEN', 'APPEND'}}
local k = first
for t, commands in ipairs(types) do
  for _ = 1, tonumber(ARGV[5 + t]) do
    local length = pcall(commands[1], KEYS[k])
    if not tonumber(length) then return redis.error_reply(length.err .. ': ' .. KEYS[k]) end
    k = k + 1
  end
end
for d = 3, first - 1 do call('DEL', KEYS[d]) end
local i = 10
k = first
for t, commands in ipairs(types) do
  local add, remove = commands[2], commands[3]
  for _ = 1, tonumber(ARGV[5 + t]) do
    local n = tonumber(ARGV[i])
    if n > 0 then
      call(add, KEYS[k], unpack(ARGV, i + 1, i + n))
      i = i + n + 1
    else
      call(remove, KEYS[k], unpack(ARGV, i + 1, i - n))
      i = i - n + 1
    end
    k = k + 1
  end
end
redis.call('SET', KEYS[1], ARGV[4])
return 'written'
`

// mayWrite ends a script whose user lacks the right to a command that writes. Servers before Redis 7 cannot tell.
//
//	KEYS  any key of the namespace first
const mayWrite = `for _, command in ipairs(redis.acl_check_cmd and {'hset', 'hdel', 'sadd', 'srem', 'zadd', 'zrem', 'append', 'del', 'set'} or {}) do
  if not redis.acl_check_cmd(command, KEYS[1]) then
    return redis.error_reply("NOPERM the user has no permissions to run the '" .. command .. "' command")
  end
end
`

// loadScript reads SKUs, and the head of the checkpoint that they were written with.
//
//	KEYS  checkpoint, names, then three for each SKU: stock, lists, reservations
//	ARGV  mark of the names at hand, graph version, how many reservations are few, count of fields that every part needs,
//	      those fields, then for each SKU: count of cells (-1: the whole), their fields, count of reservations (-1: all),
//	      their ids
//
// It returns the head; the names, fields and values in turn, if they are not those at hand; and {what, stock, lists,
// reservations, every} for each SKU. What is 'none'; 'lost': there are fields, but no graph version; 'whole', with fields and
// values in turn; 'part', with values in the order asked: graph version, common fields, cells; or 'wrong', where one of the
// keys, the first of stock, is no hash. A SKU of another graph version comes whole, for it will be rebuilt.
// Reservations are values in the order asked; or, if every is 1, all ids and values in turn: so where all were asked for,
// where there are few and one was asked for, and where there are none.
var loadScript = redis.NewScript(`
local function values(key, from, to, into)
  for i = from, to, 800 do
    local part = redis.call('HMGET', key, unpack(ARGV, i, math.min(i + 799, to)))
    for j = 1, #part do into[#into + 1] = part[j] end
  end
  return into
end
local head = redis.call('GETRANGE', KEYS[1], 0, 28)
local reply = {head, {}}
if string.sub(head, 18) ~= ARGV[1] then reply[2] = redis.call('HGETALL', KEYS[2]) end
local few, common = tonumber(ARGV[3]), 4 + tonumber(ARGV[4])
local i = common + 1
for k = 3, #KEYS, 3 do
  local cells = tonumber(ARGV[i])
  local what, stock, lists, reservations = 'part', {}, {}, {}
  local version, listed, held = redis.pcall('HGET', KEYS[k], 'v'), redis.pcall('HLEN', KEYS[k + 1]), redis.pcall('HLEN', KEYS[k + 2])
  local wrong
  for at, got in ipairs({version, listed, held}) do
    if type(got) == 'table' then
      if not string.find(got.err, 'WRONGTYPE', 1, true) then return got end
      wrong = wrong or KEYS[k + at - 1]
    end
  end
  if wrong then
    what, stock = 'wrong', {wrong}
  elseif not version then
    what = 'none'
    if redis.call('EXISTS', KEYS[k]) == 1 then what = 'lost' end
  elseif cells < 0 or version ~= ARGV[2] then
    what, stock, lists = 'whole', redis.call('HGETALL', KEYS[k]), redis.call('HGETALL', KEYS[k + 1])
  else
    stock = values(KEYS[k], i + 1, i + cells, values(KEYS[k], 5, common, {version}))
    if listed > 0 then
      lists = values(KEYS[k + 1], i + 1, i + cells, values(KEYS[k + 1], 5, common, {false}))
    end
  end
  i = i + 1 + math.max(cells, 0)
  local n, every = tonumber(ARGV[i]), 0
  if not wrong and (held == 0 or n < 0 or n > 0 and held <= few) then
    reservations, every = redis.call('HGETALL', KEYS[k + 2]), 1
  elseif not wrong then
    reservations = values(KEYS[k + 2], i + 1, i + n, reservations)
  end
  i = i + 1 + math.max(n, 0)
  reply[#reply + 1] = {what, stock, lists, reservations, every}
end
return reply
`)

// checkpointScript reads the checkpoint, and whether there are names.
//
//	KEYS  checkpoint, names
var checkpointScript = redis.NewScript(`
return {redis.call('GET', KEYS[1]) or '', redis.call('EXISTS', KEYS[2])}
`)

// countScript adds up the lengths of hashes.
//
//	KEYS  the hashes
var countScript = redis.NewScript(`
local n = 0
for _, key in ipairs(KEYS) do n = n + redis.call('HLEN', key) end
return n
`)

// lackingScript returns which commands the user may not run on a key. What a script is refused, Redis 7.0 does not name.
//
//	KEYS  any key of the namespace
//	ARGV  commands
var lackingScript = redis.NewScript(`
local lacking = {}
for _, command in ipairs(ARGV) do
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, KEYS[1]) then lacking[#lacking + 1] = command end
end
return lacking
`)
