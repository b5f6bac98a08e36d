"""Renders the Jinja of `profiles.yml` in a sandbox with bounded time and memory, whose errors quote no values.

Jinja's own sandbox restricts access to attributes, but does not stop `'a' * 10 ** 10`. Such work is done in C, where
neither an alarm nor a trace interrupts it, and threads get no alarms at all. So a template is bounded before it runs:
it may hold expressions and `if`, each part of which runs at most once, and the output of all its steps counts against
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
_MOST_OUTPUT = 1_000_000  # characters that all steps of one template make
_MOST_INPUT = 100_000  # characters of all templates of one file
_MOST_LEVELS = 50
_LONGEST_NAME = 60
# fmt: off
_NODE_TYPES = frozenset((
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
_REFUSED = "more than expressions and if, over env_var, var and operations on text"
_TOO_MUCH = f"makes more than {_MOST_OUTPUT:,} characters"
_EVALUATION_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""The exceptions of evaluating an invalid expression; their texts may quote a secret."""


class BoundedJinja:
    """Renders templates with `env_var`, `var` and dbt's filters; equal templates are rendered once.

    Raises:
        Unfit: From `render`: the template is invalid, needs a variable that is not set, or exceeds the bounds.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._rendered: dict[str, Any] = {}
        self._input_left = _MOST_INPUT
        self._output_left = 0
        self._converted: list[tuple[str, Any]] = []
        self._environment: SandboxedEnvironment | None = None

    def render(self, text: str) -> Any:
        """Render a template; as in dbt, filters such as `as_number` return values of another type than text."""
        if text not in self._rendered:
            self._input_left -= len(text)
            if self._input_left < 0:
                raise Unfit(f"has Jinja beyond the {_MOST_INPUT:,} characters that a file may hold")
            self._rendered[text] = self._evaluated(text)
        return self._rendered[text]

    def _evaluated(self, text: str) -> Any:
        from jinja2 import TemplateAssertionError, TemplateSyntaxError, UndefinedError
        from jinja2.exceptions import SecurityError, TemplateRuntimeError

        self._environment = self._environment or _environment(self)
        self._converted.clear()
        self._output_left = _MOST_OUTPUT
        try:
            parsed = self._environment.parse(text)
            _check_parts(parsed)
            made = self._environment.from_string(parsed).render()
        except TemplateAssertionError as unknown:
            filters = ", ".join(sorted(self._environment.filters))
            raise Unfit(f"uses an unknown filter or test; the filters are {filters}") from unknown
        except TemplateSyntaxError as broken:
            cure = "put a text that holds {{ or {% into an environment variable, and read it with env_var"
            raise Unfit(f"is not valid Jinja; {cure}") from broken
        except UndefinedError as unknown:
            raise Unfit("uses a name that is not defined; the functions are env_var and var") from unknown
        except (SecurityError, TemplateRuntimeError) as refused:
            raise Unfit(f"uses {_REFUSED}") from refused
        except _EVALUATION_ERRORS as wrong:
            raise Unfit(f"cannot be evaluated ({type(wrong).__name__})") from wrong
        printed, value = self._converted[-1] if self._converted else (made, made)
        return value if made == printed else made

    def spend(self, made: Any) -> Any:
        """Return the output of a step, after subtracting its length from the budget."""
        self._output_left -= _length(made)
        if self._output_left < 0:
            raise Unfit(_TOO_MUCH)
        return made

    def step(self, run: Callable[..., Any], *given: Any, subject: object = None, **named: Any) -> Any:
        """Run one step, after bounding its output by the product of its inputs, since `replace` and `join` multiply.

        Args:
            run: The function, method or filter.
            *given: Its positional arguments.
            subject: The object whose method it is, which is an input too.
            **named: Its keyword arguments.
        """
        most = 1
        for each in (subject, *given, *named.values()):
            most *= max(1, _length(each))
        if most > _MOST_OUTPUT:
            raise Unfit(_TOO_MUCH)
        return self.spend(run(*given, **named))

    def env_var(self, var: Any = _MISSING, default: Any = _MISSING) -> Any:
        """Return an environment variable, or its default; the parameters have the names that they have in dbt."""
        return self._looked_up(os.environ, "environment variable {}", var, default)

    def var(self, var: Any = _MISSING, default: Any = _MISSING) -> Any:
        """Return one of the project's vars, or its default."""
        return self._looked_up(self._variables, "var '{}'", var, default)

    def _looked_up(self, values: Mapping[str, Any], what: str, name: Any, default: Any) -> Any:
        if not isinstance(name, str):
            raise Unfit("env_var and var take a name and an optional default")
        value = values.get(name, default)
        if value is _MISSING:
            raise Unfit(f"the {what.format(name[:_LONGEST_NAME])} is not set")
        return value

    def converter(self, convert: Callable[[str], Any]) -> Callable[[object], str]:
        """Return a filter that remembers the converted value; what it puts into the template's output is the text."""

        def remember(value: object) -> str:
            self._converted.append((str(value), convert(str(value))))
            return str(value)

        return remember


def _environment(jinja: BoundedJinja) -> SandboxedEnvironment:
    """Return the sandbox; without Jinja's optimizer, which would run steps while it compiles."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Sandbox(SandboxedEnvironment):
        intercepted_binops = frozenset(("+", "*", "%"))

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002
            return attr in _METHODS and isinstance(obj, (str, dict))

        def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002
            return None  # so that is_safe_attribute refuses it like others: a format may ask for any width

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
    @wraps(run)  # copies the attribute by which Jinja knows that a filter takes the environment, too
    def step(*given: Any, **named: Any) -> Any:
        return jinja.step(run, *given, **named)

    return step


def _check_product(left: Any, right: Any) -> None:
    for repeated, times in ((left, right), (right, left)):
        if isinstance(times, int) and _length(repeated) * times > _MOST_OUTPUT:
            raise Unfit(_TOO_MUCH)


def _length(value: Any) -> int:
    """Return the length of a value as text, in characters; 0 for numbers and the like, whose texts are short."""
    return len(str(value)) if isinstance(value, (str, list, tuple, dict)) else 0


def _check_parts(root: nodes.Template) -> None:
    """Raise if a template has a node that may run repeatedly, or nests too deep to compile."""
    for part, level in _walk(root):
        if type(part).__name__ not in _NODE_TYPES:
            raise Unfit(f"uses {_REFUSED}")
        if level > _MOST_LEVELS:
            raise Unfit(f"nests deeper than {_MOST_LEVELS} levels")


def _walk(root: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    todo = [(root, 0)]
    while todo:
        part, level = todo.pop()
        yield part, level
        todo += [(each, level + 1) for each in part.iter_child_nodes()]
