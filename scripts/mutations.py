"""The changes that `make mutants` tries: which there are, and a sample of them by a seed."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, WorkItem

SWAPPED = {"LT": "LTE", "LTE": "LT", "GT": "GTE", "GTE": "GT", "EQ": "NEQ", "Max": "Min", "Min": "Max"}
SWAPPED |= {"and_": "or_", "or_": "and_"}
WORTH_TRYING = re.compile(  # of others, most end in a TypeError at once
    "ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_Gt|Gt_Lt|Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is)|"
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_Mul|BitOr_BitAnd|BitAnd_BitOr)|"
    "ReplaceUnary.*|Replace(True|False|And|Or|Break|Continue)With.*|AddNot|NumberReplacer|ZeroIteration.*"
)


class SwapInSql(Operator):
    """Swaps the words of sqlglot by which our queries compare: many boundaries are there."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Find those after `exp.`."""
        before = node.get_previous_leaf() if node.type == "name" and node.value in SWAPPED else None
        if before is not None and before.value == "." and before.get_previous_leaf().value == "exp":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - the base class's signature
        """Put the other word there."""
        node.value = SWAPPED[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return none: the base class asks."""
        return ()


_core = cosmic_ray.plugins.OPERATOR_PROVIDERS["core"]
cosmic_ray.plugins.OPERATOR_PROVIDERS = {
    "core": {name: _core[name] for name in _core if WORTH_TRYING.fullmatch(name)},
    "sql": {"Swap": SwapInSql},
}


def draw(work: WorkDB, paths: Iterable[Path], *, count: int | None, seed: str) -> int:
    """Draw changes of the modules, one at most of each place; returns how many places there are."""
    init(sorted(paths), work, {})
    places: dict[tuple[Any, ...], list[MutationSpec]] = {}
    for (spec,) in (item.mutations for item in work.work_items):
        places.setdefault((str(spec.module_path), spec.start_pos, spec.end_pos), []).append(spec)
    drawing = random.Random(seed)  # noqa: S311 - nothing secret
    in_order = [
        sorted(specs, key=lambda each: f"{each.operator_name} {each.occurrence}") for _, specs in sorted(places.items())
    ]
    drawn = list(map(drawing.choice, in_order))
    drawing.shuffle(drawn)
    drawn = [spec for spec in drawn if changes_something(spec)]
    work.clear()
    work.add_work_items(WorkItem.single(str(at), spec) for at, spec in enumerate(drawn[:count]))
    return len(drawn)


def changes_something(spec: MutationSpec) -> bool:
    """True if Python can read the change, and it is not to an annotation or the like, which no test can notice."""
    source = spec.module_path.read_text()
    try:
        return meaning(source) != meaning(mutate_code(source, operator_of(spec), spec.occurrence))
    except SyntaxError:
        return False


def meaning(source: str) -> str:
    """What Python runs of a module, without annotations and the switches of dataclasses."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, None)
        if isinstance(node, ast.ClassDef):
            node.decorator_list, node.keywords = [], []
    return ast.dump(tree)


def operator_of(spec: MutationSpec) -> Operator:
    """What makes the change."""
    return cosmic_ray.plugins.get_operator(spec.operator_name)()
