"""Wraps the page in a docs block, and checks that dbt will find the file that it is written to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node, parts_of
from feature_sync.dbt.project import Project
from feature_sync.definitions import Registry
from feature_sync.docs.markdown import without_jinja
from feature_sync.docs.page import read_page
from feature_sync.errors import RequestError

OVERVIEW = "__overview__"
_HEAD = "<!-- Written by feature-sync docs. Do not edit it: change the definitions, and write it again. -->"
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_CURE = "or call this one otherwise: --name feature_catalog, which {{ doc('feature_catalog') }} shows in a description"


def docs_block(registry: Registry, manifest: Manifest, name: str = OVERVIEW) -> str:
    """Write the page as a docs block; dbt's site opens with the one called `__overview__`.

    Args:
        registry: The definitions of the page.
        manifest: Owners, tests and lineage of their nodes.
        name: The name of the block.

    Raises:
        RequestError: dbt allows no docs block of that name.
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"no docs block can be called {name!r}: write letters, digits and _, such as feature_catalog"
        )
    # a description may embed this very block with doc(): a page that quoted itself would grow with each run
    old_page = _block(name, registry.project, manifest).block_contents or ""
    page = read_page(registry, manifest, own_words=lambda text: text.replace(old_page, "") if old_page else text)
    return f"{_HEAD}\n\n{{% docs {name} %}}\n\n{without_jinja(str(page))}\n\n{{% enddocs %}}\n"


def check_output(path: Path, name: str, *, project: Project, manifest: Manifest) -> Iterator[str]:
    """Yield the reasons why dbt would not show a docs block that is written to a file.

    Args:
        path: The file to write.
        name: The name of the docs block.
        project: The project on disk.
        manifest: Its manifest, with the docs blocks that exist already.

    Raises:
        RequestError: dbt would fail on two blocks of one name, or the file exists and is not ours.
    """
    file = path.absolute().resolve()
    other = _block(name, project.name, manifest).original_file_path
    if other and (project.directory / other).exists() and (project.directory / other).resolve() != file:
        raise RequestError(
            f"{other} already has a docs block called {name}, and dbt fails on two; remove that one, {_CURE}"
        )
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(_HEAD):
        raise RequestError(f"{path} was not written by feature-sync docs; name another file, or remove it first")
    if project.docs_paths is not None and not _is_read(file, project.docs_paths):
        folders = ", ".join(os.path.relpath(folder, project.directory) for folder in project.docs_paths)
        yield f"dbt will not see {path}: it reads docs blocks from .md files in {folders}"
    packages = [parts_of(each)[1] for each in manifest.docs_blocks if each.endswith(f".{OVERVIEW}")]
    others = sorted({*packages} - {"dbt", project.name})
    if name == OVERVIEW and others:
        yield f"the package {others[0]} has a docs block {name} too, and dbt's site shows that; take it out, {_CURE}"


def _is_read(file: Path, folders: tuple[Path, ...]) -> bool:
    return file.suffix == ".md" and any(file.is_relative_to(folder.resolve()) for folder in folders)


def _block(name: str, project: str, manifest: Manifest) -> Node:
    return manifest.node(f"doc.{project}.{name}") or Node()
