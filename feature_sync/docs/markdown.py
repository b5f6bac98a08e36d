"""Markdown that renders alike in dbt's docs site and on GitHub.

dbt's site shows every HTML tag as text, and splits a table's row at every `|`, even one after a backslash.
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
    """Link to the page of a node, a source, an exposure or a test in dbt's docs site.

    The text is plain, not code: the site renders code in a link like any other code, which hides the link.

    >>> link("orders", "model.shop.orders")
    '[orders](#!/model/model.shop.orders)'
    """
    return f"[{plain(text)}](#!/{unique_id.partition('.')[0]}/{quote(unique_id, safe='')})"


def code(text: str) -> str:
    """Format a name as inline code; as plain text if it holds `|` or a backtick, or is blank."""
    if "|" in text or "`" in text or not text.strip():
        return plain(text)
    return f"`{one_line(text)}`"


def codes(texts: Iterable[str]) -> str:
    """Format names as inline code, separated by commas."""
    return ", ".join(code(text) for text in texts)


def plain(text: str) -> str:
    r"""Escape a text that is not Markdown, on one line.

    >>> print(plain("R&D <ops> *core*"))
    R&amp;D &lt;ops&gt; \*core\*
    """
    marked = _MARKS.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))
    return marked.replace("|", _PIPE)


def cell(text: str) -> str:
    """Format Markdown as a table cell: one line, without `|`; inline code that holds one becomes plain text."""
    flat = _CODE.sub(lambda found: plain(found[2]) if "|" in found[2] else found[0], one_line(text))
    return flat.replace("|", _PIPE)


def one_line(text: str) -> str:
    """Replace every run of whitespace, line ends included, by one space."""
    return " ".join(text.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table; columns that are empty in all rows are left out."""
    filled = [[cell(each) for each in row] for row in rows]
    kept = [at for at, _ in enumerate(head) if any(row[at] for row in filled)]
    lines = [[head[at] for at in kept], ["---" for _ in kept], *([row[at] for at in kept] for row in filled)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quoted(text: str) -> str:
    """Format Markdown from the project as a block quote, so that nothing it leaves open reaches the page.

    Headings become bold text. An open code fence is closed: dbt's site renders it as text otherwise.
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
    """Escape a text so that Jinja renders it unchanged.

    >>> without_jinja("{% enddocs %}")
    '{{ "{" }}% enddocs %}'
    """
    return _JINJA.sub('{{ "{" }}', text)
