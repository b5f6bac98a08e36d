"""Reads the Terraform of a folder, and prints as JSON what is declared there, and what is referred to but is not.

Run by the Python of `.venv-deploy`. The parser is the one that checkov brings.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import hcl2

_REFERENCE = re.compile(r"(?<![\w.\"/-])((?:data\.)?(?:var|local|(?:aws|google|random)_[a-z0-9_]+)\.[A-Za-z_][\w-]*)")
_SINGLE = {"variable": "var", "output": "output"}


def declared(folder: Path) -> set[str]:
    """The addresses of all that a folder declares, as expressions refer to them."""
    found = set()
    for file in sorted(folder.glob("*.tf")):
        with file.open() as opened:
            blocks = hcl2.load(opened)
        for kind, prefix in _SINGLE.items():
            found |= {f"{prefix}.{name}" for block in blocks.get(kind, []) for name in block}
        found |= {f"local.{name}" for block in blocks.get("locals", []) for name in block}
        found |= set(_nested(blocks.get("resource", []), "")) | set(_nested(blocks.get("data", []), "data."))
    return found


def _nested(blocks: list[dict[str, Any]], prefix: str) -> list[str]:
    return [f"{prefix}{kind}.{name}" for block in blocks for kind, named in block.items() for name in named]


def referred_to(folder: Path) -> set[str]:
    """The addresses in all expressions, also inside of texts."""
    lines = [line for file in sorted(folder.glob("*.tf")) for line in file.read_text().splitlines()]
    code = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines)
    return set(_REFERENCE.findall(code))


if __name__ == "__main__":
    there, asked = declared(Path(sys.argv[1])), referred_to(Path(sys.argv[1]))
    outputs = {name for name in there if name.startswith("output.")}
    unused = {name for name in there - asked - outputs if name.startswith("var.")}
    found = {"declared": there, "missing": asked - there, "unused": unused}
    sys.stdout.write(json.dumps({name: sorted(addresses) for name, addresses in found.items()}))
