"""A page of docs as a program: its Python blocks and commands in order; a value in a comment is a check."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^((?:    \S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_START = """
import shlex, subprocess
from pathlib import Path

def run_command(line):
    line, _, output = line.partition(" > ")
    words = shlex.split(line)
    done = subprocess.run([PYTHON, "-m", "feature_sync", *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    if output:
        Path(output).write_text(done.stdout)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block, or indented lines, whose language is `sh`."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The Python file that the block shows by a comment on its first line; None for code that runs."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language == "python" else None


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page in order; its clients wait for longer than a service does, as tests share their machine."""
    text = page.read_text().replace("timeout=0.25", "timeout=30")
    found = _BLOCK.finditer(text.replace('pin="pin.json")', 'pin="pin.json", timeout=30)'))
    return [Block(each[1] or "sh", each[2] or re.sub(r"^    ", "", each[3], flags=re.MULTILINE)) for each in found]


def commands_of(page: Path) -> list[str]:
    """All commands of a page in order."""
    return [line for each in blocks_of(page) if each.language == "sh" for line in each.text.splitlines()]


def program_of(page: Path, *, without: tuple[str, ...] = ()) -> str:
    """The Python blocks, and the commands of feature-sync by the Python of the tests, as one program.

    Args:
        page: The page.
        without: Blocks that import one of these libraries are left out.
    """
    parts = [f"PYTHON = {sys.executable!r}", _START]
    for block in blocks_of(page):
        if block.language == "sh":
            commands = [line for line in block.text.splitlines() if line.startswith("feature-sync ")]
            parts += [f"run_command({line!r})" for line in commands]
        elif block.file:
            parts.append(f"Path({block.file!r}).write_text({block.text!r})")
        elif block.language == "python" and _imports_none(block.text, without):
            parts.append("\n".join(map(_checked, block.text.splitlines())))
    return "\n".join(parts)


def _imports_none(code: str, libraries: tuple[str, ...]) -> bool:
    """True if code imports none of some libraries."""
    return not any(re.search(rf"^(import|from) {name}\b", code, re.MULTILINE) for name in libraries)


def _checked(line: str) -> str:
    """Make a check of a line that ends with the value of its expression as a comment."""
    expression, _, value = line.rpartition("  # ")
    try:
        ast.parse(expression, mode="eval")
        ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return line
    return f"assert ({expression}) == {value}, repr({expression})"
