"""The scripts by which pushes write to a cluster, each within one hash slot, and the calls that run them.

`<prefix>:slot:{tag}` is a hash, one in each slot: for each view its fence (`f:<reference>`), and a mark of the slot
(`m:<reference>`). Every script compares the fence with that of the push, in the same atomic step as its writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import NamedTuple

from feature_sync.online.slots import slot_of

Words = tuple[bytes | str, ...]


class Script(NamedTuple):
    """A script and its name on servers that have run it."""

    text: str
    name: str


class Call(NamedTuple):
    """A command for the node that serves a slot.

    Args:
        slot: The slot of its keys.
        words: The command; of a script the number of keys, the keys and the arguments.
        script: The script to run; None for a command of Redis.
    """

    slot: int
    words: Words
    script: Script | None = None

    def command(self, *, whole: bool = False) -> Words:
        """Return what is sent: the name of the script, or with `whole` its text."""
        if self.script is None:
            return self.words
        return ("EVAL", self.script.text, *self.words) if whole else ("EVALSHA", self.script.name, *self.words)


def command(key: bytes | str, name: str, *arguments: bytes | str) -> Call:
    """Return the call of a command whose first argument is its only key."""
    return Call(slot_of(key.encode() if isinstance(key, str) else key), (*name.split(" "), key, *arguments))


def script_call(script: Script, slot: int, keys: Sequence[bytes | str], arguments: Sequence[bytes | str]) -> Call:
    """Return the call of a script; all keys are in the slot."""
    return Call(slot, (b"%d" % len(keys), *keys, *arguments), script)


def script_of(text: str) -> Script:
    """Return a script."""
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def fenced(part: str) -> Script:
    """Return the script of a part of `stream_scripts`, which begins with the comparison of the slot's fence."""
    return script_of(f"{_FENCED}local base = 2\n{part}")


_FENCED = """
local fence = redis.call('HGET', KEYS[1], ARGV[1])
if fence ~= ARGV[2] then return redis.error_reply('FENCED ' .. (fence or '0')) end
"""
"""KEYS[1] is the hash of the slot, ARGV[1] the field of the view's fence, ARGV[2] the fence of the push."""
FENCED = "FENCED "
WRITE = script_of(
    _FENCED
    + """
for at = 2, #KEYS do
  if ARGV[2 * at] == '' then redis.call('SET', KEYS[at], ARGV[2 * at - 1])
  else redis.call('SET', KEYS[at], ARGV[2 * at - 1], 'PXAT', ARGV[2 * at]) end
end
return #KEYS - 1
"""
)
"""Writes rows: for each key after the first its value, and the milliseconds at which it expires or an empty text."""
DELETE = script_of(_FENCED + "return redis.call('UNLINK', unpack(KEYS, 2))")
RUN = script_of(
    _FENCED
    + """
local at = 3
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return 1
"""
)
"""Runs commands: for each the number of its words, and the words."""
RAISE = script_of(
    """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and tonumber(held) > tonumber(ARGV[2]) then return held end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
"""
)
"""Raises the fence of a slot, and returns it; a higher one stays."""
TAKE = script_of(
    """
local taken = redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3])
if not taken then
  local holder = redis.call('GET', KEYS[2])
  if holder ~= ARGV[2] then return {'0', holder} end
end
local now = redis.call('TIME')
local next = (redis.call('HGET', KEYS[1], ARGV[1]) or 0) + 1
local fence = math.max(next, now[1] * 1000 + math.floor(now[2] / 1000), tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', fence))
return {string.format('%.0f', fence), ''}
"""
)
"""Takes the lease at KEYS[2]; raises the fence of its slot, to ARGV[4] at least; returns it, or 0 and the holder."""
RENEW = script_of(
    """
local holder = redis.call('GET', KEYS[2])
if holder == ARGV[2] or (not holder and redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[4]) then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0
"""
)
GIVE_BACK = script_of("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
REPLACE = script_of(
    """
local held = redis.call('GET', KEYS[1])
if (held or '') ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], ARGV[3], ARGV[4]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
)
"""Replaces a value if it is still that which was read; an empty text stands for none. Returns whether it did.

KEYS[2] is the hash of the slot; its field ARGV[3] is set to ARGV[4], unless that is empty, if the value is replaced.
"""
REMOVE = script_of("redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) return redis.call('DEL', KEYS[1])")
"""Removes a value, and sets the field ARGV[1] of its slot's hash, KEYS[2], to ARGV[2]."""
CLEAR = script_of(
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
)
"""Removes a field of a slot's hash if it still has a value."""
