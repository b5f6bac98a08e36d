"""What notebooks show: tables, and the results of requests that cover several feature views, as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from html import escape
from typing import Any, ClassVar, TypeVar

Result = TypeVar("Result")


class Report(tuple[Result, ...]):
    """A tuple of results, which notebooks show as a table; `columns` are the attributes in it, in their order."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]]

    def _repr_html_(self) -> str:
        """Return an HTML table: one row for each result, without the columns that are empty in all of them."""
        names = [name for name in self.columns if any(_is_filled(getattr(each, name)) for each in self)]
        return html_table(
            [name.replace("_", " ") for name in names], [[getattr(each, name) for name in names] for each in self]
        )


def html_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write an HTML table for a notebook; a cell that is a tuple has a line for each item."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def columns_of(kind: type[Any], *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, in their order, as columns of a report."""
    return tuple(field.name for field in fields(kind) if field.name not in without)


def _is_filled(value: object) -> bool:
    return value not in (None, (), "")


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "<br>".join(escape(str(each)) for each in value)
    return escape("" if value is None else str(value))
