"""Words and signs that the parser takes for one another: two queries with different ones are not called the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlglot.tokenizer_core import Token, TokenType

Words = Mapping[TokenType, frozenset[str]]
_FREE = frozenset({
    TokenType.IDENTIFIER, TokenType.NUMBER, TokenType.STRING, TokenType.VAR, TokenType.RAW_STRING,
    TokenType.HEREDOC_STRING, TokenType.NATIONAL_STRING, TokenType.BYTE_STRING, TokenType.UNICODE_STRING,
    TokenType.HEX_STRING, TokenType.BIT_STRING,
})  # fmt: skip
"""Tokens whose text is in the form itself."""
_ALIKE = (
    frozenset({"!=", "<>"}),
    frozenset({"=", "=="}),
    frozenset({"INT", "INTEGER", "INT4"}),
    frozenset({"BOOL", "BOOLEAN"}),
    frozenset({"DECIMAL", "NUMERIC"}),
)


def words_of(tokens: Sequence[Token]) -> Words:
    """Return the texts of the words and signs in a query, by what the parser takes them for."""
    found: dict[TokenType, set[str]] = defaultdict(set)
    for token in tokens:
        if token.token_type not in _FREE:
            found[token.token_type].add(" ".join(token.text.upper().split()))
    return {kind: frozenset(texts) for kind, texts in found.items()}


def may_conflate(old: Words, new: Words) -> bool:
    """True if both queries have different words for what the parser holds to be one: REAL and FLOAT are not alike."""
    for kind in old.keys() | new.keys():
        texts = old.get(kind, frozenset()) | new.get(kind, frozenset())
        if len(texts) > 1 and not any(texts <= group for group in _ALIKE):
            return True
    return False
