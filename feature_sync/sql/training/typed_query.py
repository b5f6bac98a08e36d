"""Checks a query that the user typed: one SELECT only, so that it cannot escape the subquery around it."""

from __future__ import annotations

import re

from sqlglot import Dialect as SqlglotDialect
from sqlglot import Token, TokenType, exp
from sqlglot.errors import SqlglotError

from feature_sync.errors import RequestError
from feature_sync.sql.dialects.base import Dialect

_BEGINNINGS = (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN, TokenType.FROM)
_TOKEN = re.compile(r"<Token token_type.*?text: (.*?), line: .*?>")
_CHANGING = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Copy)


def one_select(text: str, *, dialect: Dialect, source: str = "--spine-sql") -> str:
    """Return the query as typed, without comments and trailing semicolons.

    The text that is parsed is the text that is returned: a comment could hide a bracket from sqlglot, but not from the
    warehouse.

    Args:
        text: The query.
        dialect: The dialect of the query.
        source: Where the query was typed, for the error.

    Raises:
        RequestError: The text is not one SELECT, or it does not parse.
    """
    try:
        tokens = SqlglotDialect.get_or_raise(dialect.name).tokenize(text)
        while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
            tokens.pop()
        if not tokens:
            raise RequestError(f"{source} is empty; write one SELECT")
        if tokens[0].token_type not in _BEGINNINGS:
            raise RequestError(f"{source} begins with {tokens[0].text!r}; write one SELECT")
        bare = _without_comments(text, tokens)
        statements = SqlglotDialect.get_or_raise(dialect.name).parse(bare)
    except SqlglotError as wrong:
        raise RequestError(f"{source} cannot be read as {dialect.name}'s SQL: {_first_line(wrong)}") from wrong
    except RecursionError as deep:
        raise RequestError(f"{source} is nested too deeply; make it a model and name that with --spine") from deep
    if len(statements) != 1:
        raise RequestError(f"{source} holds {len(statements)} statements; write one SELECT")
    _check_reads_only(statements[0], source)
    return bare


def _without_comments(text: str, tokens: list[Token]) -> str:
    """Keep the tokens and the white space between them; replace a comment by a space."""
    parts: list[str] = []
    at = tokens[0].start
    for token in tokens:
        between = text[at : token.start]
        parts += [between if between.isspace() or not between else " ", text[token.start : token.end + 1]]
        at = token.end + 1
    return "".join(parts)


def _check_reads_only(statement: exp.Expr | None, source: str) -> None:
    inner = statement.unnest() if isinstance(statement, exp.Subquery) else statement
    changing = statement.find(*_CHANGING) if statement is not None else None
    if not isinstance(inner, exp.Query) or changing is not None:
        kind = (changing or statement or exp.Select()).key.upper()
        raise RequestError(f"{source} is {kind}, not a SELECT that only reads; write one SELECT")


def _first_line(wrong: SqlglotError) -> str:
    """Return the first line, without the parser's tokens; below it is the query, with terminal escapes."""
    line = (str(wrong).splitlines() or [type(wrong).__name__])[0]
    return _TOKEN.sub(r"'\1'", line).rstrip(".")
