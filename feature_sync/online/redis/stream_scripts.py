"""The scripts by which a stream and a push write to one view at once, each row by comparing it with what is there.

All keys of a call are declared, and could share a hash slot. Bytes are compared as numbers, 4 at a time: Lua orders
text by the server's locale, and its numbers are exact only up to 2 ** 53, which event timestamps and offsets exceed.

Fields of the hash `stream`:
- `topic`: the stream;
- `epoch`: the fence of the push that ended last, empty before; absent while no writer may write;
- `until`: the latest event timestamp that the snapshot could have seen, 8 bytes;
- `seen:<partition>`: the first offset that it has not seen, 8 bytes;
- `came:<partition>`: the last row that came: event timestamp, partition and offset, 20 bytes, and the millisecond.
Fields of the hash `journal`: row keys with the positions, 20 bytes, of the rows, or deletions, that the stream wrote.
"""

from __future__ import annotations

TOPIC, EPOCH, UNTIL, SEEN, CAME = b"topic", b"epoch", b"until", b"seen:", b"came:"

_SHARED = """
local unpack4, sub, byte = struct.unpack, string.sub, string.byte
local function below(a, b)
  local a1, a2 = unpack4('>I4I4', a)
  local b1, b2 = unpack4('>I4I4', b)
  return a1 < b1 or (a1 == b1 and a2 < b2)
end
local function is_newer(a, b)
  local a1, a2, a3, a4, a5 = unpack4('>I4I4I4I4I4', a)
  local b1, b2, b3, b4, b5 = unpack4('>I4I4I4I4I4', b)
  if a1 ~= b1 then return a1 > b1 elseif a2 ~= b2 then return a2 > b2 elseif a3 ~= b3 then return a3 > b3 end
  if a4 ~= b4 then return a4 > b4 end
  return a5 > b5
end
local function moment_of(row)
  local first = byte(row, 1)
  local at = first == 220 and 10 or first == 221 and 12 or 8
  local kind, bytes, fill = byte(row, at), '', 0
  if kind < 128 then bytes = sub(row, at, at)
  elseif kind >= 224 then bytes, fill = sub(row, at, at), 255
  elseif kind >= 204 and kind <= 211 then
    bytes = sub(row, at + 1, at + 2 ^ ((kind - 204) % 4))
    if kind >= 208 and byte(bytes) >= 128 then fill = 255 end
  else return string.rep(string.char(0), 8) end
  bytes = string.rep(string.char(fill), 8 - #bytes) .. bytes
  return string.char((byte(bytes) + 128) % 256) .. sub(bytes, 2)
end
local watermarks, latest1, latest2 = {}, nil, nil
local function has_seen(hash, position)
  local moment1, moment2, partition, offset1, offset2 = unpack4('>I4I4I4I4I4', position)
  local first = watermarks[partition]
  if first == nil then
    local bytes = redis.call('HGET', hash, 'seen:' .. partition)
    first = bytes and {unpack4('>I4I4', bytes)}
    watermarks[partition] = first
  end
  if not first or offset1 > first[1] or (offset1 == first[1] and offset2 >= first[2]) then return false end
  if not latest1 then latest1, latest2 = unpack4('>I4I4', redis.call('HGET', hash, 'until')) end
  return moment1 < latest1 or (moment1 == latest1 and moment2 <= latest2)
end
"""
"""`below` compares the first 8 bytes, `is_newer` 20.

`moment_of` reads the event timestamp behind the schema id of a row, whose array has up to 15, 65,535 or more items. It
gives 8 bytes with the sign turned, so that they order as numbers; null is the least."""

STREAM = (
    _SHARED
    + """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or redis.call('HGET', KEYS[1], 'topic') ~= ARGV[1] then return {0, 0, 0, false} end
local applied, seen, older, came = 0, 0, 0, {}
local positions, winners, entries = {}, {}, {}
if #KEYS > 2 then positions = redis.call('HMGET', KEYS[2], unpack(KEYS, 3)) end
for i = 3, #KEYS do
  local key, at = KEYS[i], 3 * i - 7
  local position, winner = ARGV[at], winners[KEYS[i]]
  came[sub(position, 9, 12)] = position
  if has_seen(KEYS[1], position) then seen = seen + 1
  else
    local held, wins = winner and ARGV[winner] or positions[i - 2], true
    if held == position then
      local row = winner and ARGV[winner + 1] or redis.call('GETRANGE', key, 0, 8)
      wins = ARGV[at + 1] ~= '' and sub(row, 1, 9) ~= sub(ARGV[at + 1], 1, 9)
    elseif held then wins = is_newer(position, held)
    else
      local row = redis.call('GETRANGE', key, 0, 20)
      wins = row == '' or not below(position, moment_of(row))
    end
    if wins then
      winners[key] = at
      applied = applied + 1
    else older = older + 1 end
  end
end
local refused
for key, at in pairs(winners) do
  local reply
  if ARGV[at + 1] == '' then reply = redis.pcall('DEL', key)
  elseif ARGV[at + 2] == '' then reply = redis.pcall('SET', key, ARGV[at + 1])
  else reply = redis.pcall('SET', key, ARGV[at + 1], 'PXAT', ARGV[at + 2]) end
  if type(reply) == 'table' and reply.err then refused = reply
  else entries[#entries + 1], entries[#entries + 2] = key, ARGV[at] end
end
if #entries > 0 then redis.call('HSET', KEYS[2], unpack(entries)) end
if refused then return refused end
local now = redis.call('TIME')
local time = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
for partition, position in pairs(came) do
  redis.call('HSET', KEYS[1], 'came:' .. unpack4('>I4', partition), position .. time)
end
return {applied, seen, older, epoch}
"""
)
"""KEYS: stream, journal, rows. ARGV: the topic, then for each row position, value (empty: delete) and expiry (empty:
none).

A row that is there already is written again only if its schema has changed. Of several rows of one key in a call, only
the newest is written. The journal is asked once, and written once: it names the rows that were written, also if one is
refused, and no other, so that a replay heals. A call has 3,000 rows at most, since Lua unpacks no more. Returns how
many were applied, seen and older, and the epoch; no epoch if the stream is closed, has not begun or is of another
topic."""

_FENCED = """
local fence = redis.call('GET', KEYS[1])
if fence ~= ARGV[1] then return redis.error_reply(fence and 'TAKENOVER' or 'EMPTIED') end
local base = 1
"""
"""Compares the fence of a standalone Redis; `base` is the place of the push's fence in ARGV, behind which others come.

On a cluster, `cluster_scripts` compares that of the slot instead, in front of the same parts."""
_KEEPS = """
local positions = {}
if redis.call('EXISTS', KEYS[3]) == 1 then positions = redis.call('HMGET', KEYS[3], unpack(KEYS, 4)) end
"""

WRITE_PART = (
    _SHARED
    + _KEEPS
    + """
local kept, settled = 0, {}
for i = 4, #KEYS do
  local key, value, expiry, held = KEYS[i], ARGV[base + 2 * i - 7], ARGV[base + 2 * i - 6], positions[i - 3]
  if held and not has_seen(KEYS[2], held) and not below(held, moment_of(value)) then kept = kept + 1
  else
    if expiry == '' then redis.call('SET', key, value) else redis.call('SET', key, value, 'PXAT', expiry) end
    if held then settled[#settled + 1] = key end
  end
end
if #settled > 0 then redis.call('HDEL', KEYS[3], unpack(settled)) end
return kept
"""
)
"""KEYS: fence, stream, journal, rows. ARGV: fence, then for each row its value and expiry (empty: none).

Returns how many keys kept what the stream wrote."""

DELETE_PART = (
    _SHARED
    + _KEEPS
    + """
local gone = {}
for i = 4, #KEYS do
  local held = positions[i - 3]
  if not held or has_seen(KEYS[2], held) then gone[#gone + 1] = KEYS[i] end
end
if #gone == 0 then return 0 end
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('HDEL', KEYS[3], unpack(gone)) end
return redis.call('UNLINK', unpack(gone))
"""
)
"""KEYS: fence, stream, journal, rows. ARGV: fence. Returns how many rows were deleted."""

OPEN_PART = """
local topic = ARGV[base + 1]
if redis.call('HGET', KEYS[2], 'topic') ~= topic then
  if not KEYS[3] then return -1 end
  redis.call('DEL', KEYS[2], KEYS[3])
end
local epoch = redis.call('HGET', KEYS[2], 'epoch') or ''
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, 1, 5) == 'seen:' then redis.call('HDEL', KEYS[2], field) end
end
redis.call('HSET', KEYS[2], 'epoch', epoch, 'topic', topic, unpack(ARGV, base + 2))
return 1
"""
"""KEYS: fence, stream, journal. ARGV: fence, the topic, then fields and values of what the snapshot has seen, in the
place of what the one before had. Positions of another topic mean nothing, so that they are dropped: a push of all rows
follows. Without the journal it returns -1 then, and has done nothing."""

END_PART = "return redis.call('HSET', KEYS[2], 'epoch', ARGV[base])"
"""KEYS: fence, stream. ARGV: fence, which names the epoch."""

CLOSE_PART = "return redis.call('HDEL', KEYS[2], 'epoch')"
"""KEYS: fence, stream. ARGV: fence. Until the push reopens the stream, or removes it, no writer writes."""

REMOVE_PART = "return redis.call('DEL', KEYS[2], KEYS[3])"
"""KEYS: fence, stream, journal. ARGV: fence."""

PUBLISH_PART = "return redis.call('HSET', KEYS[2], ARGV[base + 1], ARGV[base + 2])"
"""KEYS: fence, schemas. ARGV: fence, the id of a schema, the schema."""

WRITE, DELETE, OPEN, END, CLOSE, REMOVE, PUBLISH = (
    _FENCED + part for part in (WRITE_PART, DELETE_PART, OPEN_PART, END_PART, CLOSE_PART, REMOVE_PART, PUBLISH_PART)
)
