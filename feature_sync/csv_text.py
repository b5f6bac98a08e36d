"""Checks the text of a CSV file before its values are read: it is UTF-8, and every quote that opens is closed."""

from __future__ import annotations

import codecs
import re
from enum import Enum
from pathlib import Path

from feature_sync.errors import RequestError

_BYTES_PER_BLOCK = 2**22
_LINE = re.compile(rb"[^\r\n]+")
_ENDS_OF_FIELDS = b",\r\n"
# Without possessive quantifiers, which Python misreads before 3.11.5. Every step is decided by its first character, and
# a quote that closes is never the first of two, so that nothing is tried twice.
_QUOTED = re.compile(rb'(?<=[,\r\n])"[^"]*(?:""[^"]*)*"(?=[,\r\n])')
_WELL_FORMED = re.compile(rb'[^"]*(?:(?:(?<![,\r\n])"|%b)[^"]*)*' % _QUOTED.pattern)
"""Text outside quotes, with fields in quotes that open and close in it; a quote inside an unquoted field is a plain
character."""


def check_csv(path: Path) -> int:
    """Read a CSV file once, in blocks, and return the number of rows after its header; empty lines are not rows.

    A more lenient reader takes an unclosed quote for a field that holds the rest of the file, or the rows up to the
    next quote.

    Raises:
        OSError: The file cannot be read.
        RequestError: It is not UTF-8, a quote is never closed, or text follows a closing quote within a field.
    """
    decoder, lexer = codecs.getincrementaldecoder("utf-8")(), _Lexer(path)
    with path.open("rb") as file:
        file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
        while block := file.read(_BYTES_PER_BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as foreign:
                # The rest that the decoder kept of the previous block is part of one character: it has no line end.
                line = lexer.line + foreign.object.count(b"\n", 0, foreign.start)
                byte = foreign.object[foreign.start]
                raise RequestError(f"{path}: line {line}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8") from None
            lexer.read(block)
    return max(lexer.finish() - 1, 0)


class _State(Enum):
    OUTSIDE = "outside quotes"
    INSIDE = "inside quotes"
    CLOSED = "after a quote that closes a field, or the first of two that stand for one"


class _Lexer:
    """Tracks the quotes of a CSV file from block to block, and counts its records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.line = 1
        self._records = 0
        self._state = _State.OUTSIDE
        self._opened = 0
        self._last = b"\n"

    def read(self, block: bytes) -> None:
        """Read the next block: well-formed text in one step, and quote by quote what the end of a block splits."""
        text, at = self._last + block, 1
        while at < len(text):
            end = self._end_of_well_formed(text, at)
            if end > at:
                # One more byte on each side, as the pattern looks at the neighbours of a field.
                bare = _QUOTED.sub(b"x", text[at - 1 : end + 1])
                self._text(bare[1 : len(bare) - (end < len(text))], lines=text.count(b"\n", at, end))
            elif text[at : at + 1] == b'"':
                self._quote()
                end = at + 1
            else:
                quote = text.find(b'"', at)
                end = quote if quote >= 0 else len(text)
                self._text(text[at:end], lines=text.count(b"\n", at, end))
            at = end

    def _end_of_well_formed(self, text: bytes, at: int) -> int:
        found = _WELL_FORMED.match(text, at) if self._state is _State.OUTSIDE else None
        return found.end() if found is not None else at

    def finish(self) -> int:
        """Return the number of records, including the header.

        Raises:
            RequestError: A quote is still open.
        """
        if self._state is _State.INSIDE:
            raise self._wrong(self._opened, "a quote is never closed")
        return self._records

    def _text(self, text: bytes, *, lines: int) -> None:
        if self._state is _State.CLOSED:
            if text[:1] not in _ENDS_OF_FIELDS:
                raise self._wrong(self.line, f"a quote closes, and {chr(text[0])!r} follows")
            self._state = _State.OUTSIDE
        if self._state is _State.OUTSIDE:
            continues_record = not self._begins_record and text[:1] not in b"\r\n"
            self._records += _count_lines(text) - continues_record
            self._last = text[-1:]
        self.line += lines

    def _quote(self) -> None:
        if self._state is _State.INSIDE:
            self._state, self._last = _State.CLOSED, b'"'
        elif self._state is _State.CLOSED:
            self._state = _State.INSIDE
        elif self._last in _ENDS_OF_FIELDS:
            self._records += self._begins_record
            self._state, self._opened = _State.INSIDE, self.line

    @property
    def _begins_record(self) -> bool:
        return self._last in b"\r\n"

    def _wrong(self, line: int, reason: str) -> RequestError:
        return RequestError(
            f'{self._path}: line {line}: {reason}; a field that holds a quote is written as "a ""quoted"" word"'
        )


def _count_lines(text: bytes) -> int:
    """Count the lines that are not empty; if no line is empty, by line ends, which is several times faster."""
    text = text.replace(b"\r\n", b"\n")
    if b"\n\n" in text or b"\r" in text:
        return len(_LINE.findall(text))
    return text.count(b"\n") - text.startswith(b"\n") + (not text.endswith(b"\n"))
