"""Decodes messages of JSON, and keys of text."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from feature_sync.stream.messages import Unfit


class JsonMessages:
    """Decodes documents; with `exact`, numbers with a point become decimals, which takes twice the time."""

    def __init__(self, *, exact: bool) -> None:
        self._decode = msgspec.json.Decoder(float_hook=Decimal if exact else None).decode

    def __call__(self, contents: Sequence[bytes]) -> list[Any]:
        """Decode contents."""
        try:
            return [*map(self._decode, contents)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise Unfit(f"it is not JSON ({wrong})") from wrong


def decode_texts(contents: Sequence[bytes]) -> list[Any]:
    """Decode keys of UTF-8 text."""
    try:
        return [each.decode() for each in contents]
    except UnicodeDecodeError as wrong:
        raise Unfit("its key is not UTF-8 text: see stream.key_format") from wrong
