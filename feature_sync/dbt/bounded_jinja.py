"""Renders the Jinja of `profiles.yml` in a sandbox where nothing takes long or much, or is quoted in an error.

Jinja's own sandbox keeps code from reaching what it should not, and does nothing about `'a' * 10 ** 10`. Such work is
done in C, where neither an alarm nor a trace ends it, and threads get no alarms at all. So a text is bounded before it
runs: it may hold expressions and `if`, each part of which runs once at most, and all that its steps make comes out of
one budget.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from feature_sync.dbt.conversions import CONVERSIONS, Unfit

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

_MISSING = object()
_LETTERS_TO_MAKE = 1_000_000
_LETTERS_TO_READ = 100_000
_MOST_LEVELS = 50
_LONGEST_NAME = 60
# fmt: off
_PARTS = frozenset((
    "Template", "Output", "TemplateData", "If", "Const", "Name", "Getattr", "Getitem", "Call", "Filter", "Test",
    "CondExpr", "Keyword", "Slice", "Compare", "Operand", "And", "Or", "Not", "Neg", "Pos", "Add", "Sub", "Mul",
    "Div", "FloorDiv", "Mod", "Concat", "List", "Tuple", "Dict", "Pair",
))
_FILTERS = frozenset((
    "abs", "capitalize", "count", "d", "default", "first", "float", "int", "join", "last", "length", "list",
    "lower", "max", "min", "replace", "reverse", "sort", "string", "sum", "title", "tojson", "trim", "unique",
    "upper", "urlencode",
))
_METHODS = frozenset((
    "capitalize", "casefold", "count", "endswith", "find", "get", "isalnum", "isalpha", "isdigit", "islower",
    "isupper", "items", "join", "keys", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper", "values",
))
# fmt: on
_REFUSED = "more than expressions and if, over env_var, var and what changes texts"
_TOO_MUCH = f"makes more than {_LETTERS_TO_MAKE:,} letters"
_MEANINGLESS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What evaluating an expression raises if it makes no sense; the texts of these may quote a secret."""


class BoundedJinja:
    """Renders texts with `env_var`, `var` and dbt's filters; each different one is rendered once.

    Raises:
        Unfit: From `render`: the text is not valid, needs what is not set, or goes beyond the bounds.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._rendered: dict[str, Any] = {}
        self._left_to_read = _LETTERS_TO_READ
        self._left_to_make = 0
        self._converted: list[tuple[str, Any]] = []
        self._environment: SandboxedEnvironment | None = None

    def render(self, text: str) -> Any:
        """Render a text; as in dbt, `as_number` and its kin make values of another type of it."""
        if text not in self._rendered:
            self._left_to_read -= len(text)
            if self._left_to_read < 0:
                raise Unfit(f"holds Jinja, of which {_LETTERS_TO_READ:,} letters are read and no more")
            self._rendered[text] = self._evaluated(text)
        return self._rendered[text]

    def _evaluated(self, text: str) -> Any:
        from jinja2 import TemplateAssertionError, TemplateSyntaxError, UndefinedError
        from jinja2.exceptions import SecurityError, TemplateRuntimeError

        self._environment = self._environment or _environment(self)
        self._converted.clear()
        self._left_to_make = _LETTERS_TO_MAKE
        try:
            parsed = self._environment.parse(text)
            _check_parts(parsed)
            made = self._environment.from_string(parsed).render()
        except TemplateAssertionError as unknown:
            filters = ", ".join(sorted(self._environment.filters))
            raise Unfit(f"uses a filter or a test that is not known here; filters are {filters}") from unknown
        except TemplateSyntaxError as broken:
            cure = "a text that holds {{ or {% goes into an environment variable, which env_var reads"
            raise Unfit(f"is not valid Jinja; {cure}") from broken
        except UndefinedError as unknown:
            raise Unfit("uses a name that is not defined; of functions there are env_var and var") from unknown
        except (SecurityError, TemplateRuntimeError) as refused:
            raise Unfit(f"uses {_REFUSED}") from refused
        except _MEANINGLESS as wrong:
            raise Unfit(f"cannot be evaluated ({type(wrong).__name__})") from wrong
        printed, value = self._converted[-1] if self._converted else (made, made)
        return value if made == printed else made

    def spend(self, made: Any) -> Any:
        """Take what a step made out of the budget, and hand it on."""
        self._left_to_make -= _length(made)
        if self._left_to_make < 0:
            raise Unfit(_TOO_MUCH)
        return made

    def step(self, run: Callable[..., Any], *given: Any, subject: object = None, **named: Any) -> Any:
        """Run one step; what it is given says how much it may make, since `replace` and `join` multiply."""
        most = 1
        for each in (subject, *given, *named.values()):
            most *= max(1, _length(each))
        if most > _LETTERS_TO_MAKE:
            raise Unfit(_TOO_MUCH)
        return self.spend(run(*given, **named))

    def env_var(self, var: Any = _MISSING, default: Any = _MISSING) -> Any:
        """Read an environment variable, or its default; the arguments are called as they are in dbt."""
        return self._looked_up(os.environ, "environment variable {}", var, default)

    def var(self, var: Any = _MISSING, default: Any = _MISSING) -> Any:
        """Read one of the project's vars, or its default."""
        return self._looked_up(self._variables, "var '{}'", var, default)

    def _looked_up(self, values: Mapping[str, Any], what: str, name: Any, default: Any) -> Any:
        if not isinstance(name, str):
            raise Unfit("env_var and var take a name and, if need be, a default")
        value = values.get(name, default)
        if value is _MISSING:
            raise Unfit(f"the {what.format(name[:_LONGEST_NAME])} is not set")
        return value

    def converter(self, convert: Callable[[str], Any]) -> Callable[[object], str]:
        """Make the filter that remembers what a value is as another type; what is printed of it is its text."""

        def remember(value: object) -> str:
            self._converted.append((str(value), convert(str(value))))
            return str(value)

        return remember


def _environment(jinja: BoundedJinja) -> SandboxedEnvironment:
    """Make the sandbox; without its optimizer, which would run steps while it compiles."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Sandbox(SandboxedEnvironment):
        intercepted_binops = frozenset(("+", "*", "%"))

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002
            return attr in _METHODS and isinstance(obj, (str, dict))

        def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002
            return None  # so that it is an attribute like others: a format may ask for any width

        def call(__self, __context: Any, __obj: Any, *given: Any, **named: Any) -> Any:  # noqa: N805, PYI063
            return jinja.step(__obj, *given, subject=getattr(__obj, "__self__", None), **named)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
            if operator == "%" and isinstance(left, str):
                raise Unfit(f"uses {_REFUSED}")
            if operator == "*":
                _check_product(left, right)
            return jinja.spend(self.binop_table[operator](left, right))

    environment = Sandbox(undefined=StrictUndefined, optimized=False)
    environment.globals = {"env_var": jinja.env_var, "var": jinja.var}
    filters = {name: environment.filters[name] for name in _FILTERS}
    filters |= {name: jinja.converter(convert) for name, convert in CONVERSIONS.items()}
    filters["as_text"] = str
    environment.filters = {name: _bounded(jinja, each) for name, each in filters.items()}
    return environment


def _bounded(jinja: BoundedJinja, run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)  # hands on by which mark Jinja knows that a filter wants its environment, too
    def step(*given: Any, **named: Any) -> Any:
        return jinja.step(run, *given, **named)

    return step


def _check_product(left: Any, right: Any) -> None:
    for repeated, times in ((left, right), (right, left)):
        if isinstance(times, int) and _length(repeated) * times > _LETTERS_TO_MAKE:
            raise Unfit(_TOO_MUCH)


def _length(value: Any) -> int:
    """How many letters a value has, written out; a number has a few, whichever it is."""
    return len(str(value)) if isinstance(value, (str, list, tuple, dict)) else 0


def _check_parts(root: nodes.Template) -> None:
    """Check that a text holds nothing that runs again and again, and nothing that nests too deep to compile."""
    for part, level in _walk(root):
        if type(part).__name__ not in _PARTS:
            raise Unfit(f"uses {_REFUSED}")
        if level > _MOST_LEVELS:
            raise Unfit(f"nests deeper than {_MOST_LEVELS} levels")


def _walk(root: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    todo = [(root, 0)]
    while todo:
        part, level = todo.pop()
        yield part, level
        todo += [(each, level + 1) for each in part.iter_child_nodes()]
