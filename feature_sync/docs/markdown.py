"""Markdown that reads alike in dbt's docs site and on GitHub.

dbt's site shows every HTML tag as text, and splits a table's row at every `|`, a backslash before it or not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_MARKS = re.compile(r"[\\`*\[\]]|(?<!\w)_|_(?!\w)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)[\s#]*$")
_JINJA = re.compile(r"\{(?=[{%#])")
_PIPE = "&#124;"


def link(text: str, unique_id: str) -> str:
    """Link to the page that dbt's docs site has for a node, a source, an exposure or a test.

    The text is no Markdown: the site shows no difference between code that is a link and code that is none.

    >>> link("orders", "model.shop.orders")
    '[orders](#!/model/model.shop.orders)'
    """
    return f"[{plain(text)}](#!/{unique_id.partition('.')[0]}/{quote(unique_id, safe='')})"


def code(text: str) -> str:
    """Show a name, whatever it holds."""
    if "|" in text or "`" in text or not text.strip():
        return plain(text)
    return f"`{one_line(text)}`"


def codes(texts: Iterable[str]) -> str:
    """Show names, separated by commas."""
    return ", ".join(code(text) for text in texts)


def plain(text: str) -> str:
    r"""Show a text that is no Markdown, on one line.

    >>> print(plain("R&D <ops> *core*"))
    R&amp;D &lt;ops&gt; \*core\*
    """
    marked = _MARKS.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))
    return marked.replace("|", _PIPE)


def cell(text: str) -> str:
    """Fit Markdown into a cell of a table: one line, no `|`; inline code that holds one becomes plain text."""
    flat = _CODE.sub(lambda found: plain(found[2]) if "|" in found[2] else found[0], one_line(text))
    return flat.replace("|", _PIPE)


def one_line(text: str) -> str:
    """Put a text on one line."""
    return " ".join(text.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; a column without any entry is left out."""
    filled = [[cell(each) for each in row] for row in rows]
    kept = [at for at, _ in enumerate(head) if any(row[at] for row in filled)]
    lines = [[head[at] for at in kept], ["---" for _ in kept], *([row[at] for at in kept] for row in filled)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quoted(text: str) -> str:
    """Quote what somebody wrote: what it leaves open ends with the quotation, and its headings are but bold.

    dbt's site takes code for text unless its fence is closed.
    """
    lines: list[str] = []
    fence = ""
    for line in text.strip().splitlines():
        lines.append(line if fence else _HEADING.sub(r"**\1**", line))
        if (mark := line.lstrip()[:3]) in ("```", "~~~"):
            fence = "" if mark == fence else fence or mark
    lines += [fence] if fence else []
    return "\n".join(f"> {line}".rstrip() for line in lines)


def without_jinja(text: str) -> str:
    """Write a text so that Jinja gives it back as it is.

    >>> without_jinja("{% enddocs %}")
    '{{ "{" }}% enddocs %}'
    """
    return _JINJA.sub('{{ "{" }}', text)
