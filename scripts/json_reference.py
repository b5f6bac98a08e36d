"""Write the page about JSON documents from the schema that the tests hold the commands to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[1] / "docs" / "json.schema.json"
INTRODUCTION = """\
Each of the commands below prints one JSON object on stdout with `--json`, and nothing else there; warnings and errors
go to stderr. A command that fails prints its error on stderr, exits 1, and leaves stdout empty, unless its section says
otherwise. [json.schema.json](json.schema.json) is the JSON Schema of all of them. `docs`, `grants`, `init`, `redis`,
`schema` and `sql` print text to use as it stands, and have no JSON.

- `format_version` is the version of all documents. The minor number grows with new keys: readers ignore keys that they
  do not know. The major number grows where a key goes or changes its meaning.
- Every key is always there, but for those of a log line and of the kinds of spine. What is not known, or does not
  apply, is null.
- A duration is a number of seconds, and its name ends with `_seconds`. A size is a number of bytes, and its name ends
  with `_bytes`. A share is a number from 0 to 1. Other numbers count.
- A moment is text in ISO 8601, in UTC: `2013-01-31T17:00:00Z`. Values of features without a time zone have no `Z`.
- A name ends with `_column` if it is a column's, and with `_names` or `_ids` if it is a list of them.
- Values: a decimal, a UUID and an interval are text, bytes are hexadecimal digits, a date is `2013-01-31`, and numbers
  that JSON lacks are the texts `nan`, `inf` and `-inf`."""


def json_page(note: str) -> str:
    """Describe every key of every document.

    Args:
        note: The comment that the page begins with.
    """
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    lines = [note, "", "# JSON", "", INTRODUCTION]
    for document in definitions.values():
        if "title" in document:
            option = "" if " --" in document["title"] else " --json"
            lines += ["", f"## `{document['title']}{option}`", "", document["description"]]
            for kind in map(_Resolver(definitions).resolved, document.get("oneOf", [document])):
                if kind is not document:
                    lines += ["", kind["description"]]
                lines += ["", "| key | type | holds |", "| --- | --- | --- |"]
                lines += [f"| `{key}` | {of} | {text} |" for key, of, text in _Resolver(definitions).keys(kind)]
    return "\n".join([*lines, ""])


class _Resolver:
    """Follows the references of a schema."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Merge a schema with what it refers to; its own words win."""
        if "$ref" not in schema:
            return schema
        own = {name: value for name, value in schema.items() if name != "$ref"}
        return self.resolved(self._definitions[schema["$ref"].rpartition("/")[2]]) | own

    def keys(self, schema: dict[str, Any], before: str = "") -> Iterator[tuple[str, str, str]]:
        """List the keys of an object and of the objects in it: path, type and meaning."""
        for name, reference in schema["properties"].items():
            found = self.resolved(reference)
            inner = self.resolved(found.get("items", {}))
            path = f"{before}{name}"
            yield path, self._type(reference), found["description"]
            if "properties" in inner:
                yield from self.keys(inner, f"{path}[].")
            elif "properties" in found:
                yield from self.keys(found, f"{path}.")

    def _type(self, schema: dict[str, Any]) -> str:
        """Name a type as a reader of the page knows it."""
        found = self.resolved(schema)
        if "const" in found:
            return f"`{json.dumps(found['const'])}`"
        if "enum" in found:
            return ", ".join(f"`{each}`" for each in found["enum"])
        types = [found["type"]] if isinstance(found["type"], str) else found["type"]
        if len(types) > 2:  # noqa: PLR2004 - null and one other is the most that a key holds, but for values
            return "any"
        named = "moment" if "pattern" in found else next(each for each in types if each != "null")
        if named == "array":
            named = f"list of {self._type(found['items'])}s"
        return f"{named} or null" if "null" in types else named
