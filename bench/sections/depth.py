"""Cost against history depth: the same number of rows, shared by fewer and fewer entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import handwritten
from bench.data import Sizes, short
from bench.engines import Contender, DuckDBEngine, Engine, PostgresEngine, duckdb_file, postgres_server
from bench.product import Question
from bench.report import Table, Target, number, seconds
from bench.timing import NEVER

_DEPTHS = (10, 100, 1_000, 10_000)
_HIGHEST = 1.5
_PEER = "inequality + ROW_NUMBER"
_PEER_LIMIT = 60

Make = Callable[[Sizes, str], None]


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time each warehouse at each depth; the inequality join shows what history costs elsewhere."""
    sizes = [Sizes.scaled(scale, spine=1_000_000, rows=10_000_000, depth=depth) for depth in _DEPTHS]
    with duckdb_file(folder) as path:
        engine: Engine = DuckDBEngine(path)
        ours = {
            "feature-sync, proven unique": Question(adapter="duckdb", views=1, is_unique=True),
            "feature-sync": Question(adapter="duckdb", views=1),
        }
        peers = {"ASOF by hand": handwritten.asof([0])}
        yield _table("DuckDB", engine, sizes, ours, peers, lambda size, schema: engine.make(size, 1, schema=schema))
        engine.close()
    sizes = [Sizes.scaled(scale, spine=100_000, rows=2_000_000, depth=depth) for depth in _DEPTHS]
    with postgres_server() as uri:
        for is_indexed in (True, False):
            engine = postgres = PostgresEngine(uri)

            def make(
                size: Sizes, schema: str, *, postgres: PostgresEngine = postgres, indexed: bool = is_indexed
            ) -> None:
                postgres.make(size, 1, schema=schema)
                if indexed:
                    postgres.index(1)

            ours = {"feature-sync": Question(adapter="postgres", views=1, is_indexed=is_indexed)}
            name = f"PostgreSQL, {'with the' if is_indexed else 'without an'} index on keys and time"
            yield _table(name, engine, sizes, ours, {}, make)
            engine.close()


def _table(
    name: str, engine: Engine, sizes: list[Sizes], ours: Mapping[str, Question], peers: Mapping[str, str], make: Make
) -> Table:
    queries = {**{label: question.sql() for label, question in ours.items()}, **peers}
    contenders: dict[tuple[str, int], Contender] = {}
    for size in sizes:
        schema = f"depth_{size.depth}"
        make(size, schema)
        contenders |= {(label, size.depth): Contender(query, schema) for label, query in queries.items()}
        contenders[_PEER, size.depth] = Contender(handwritten.inequality([0]), schema, _PEER_LIMIT)
    took = engine.race(contenders)
    rows = f"{short(sizes[0].spine)} spine × {short(sizes[0].rows)} rows"
    table = Table(f"{name}: {rows}", ("rows an entity", *(f"{depth:,}" for depth in _DEPTHS), "slowest ÷ fastest"))
    for label in (*queries, _PEER):
        runs = [took[label, depth] for depth in _DEPTHS]
        spread = max(each.seconds for each in runs) / min(each.seconds for each in runs)
        slowest = f"> {number(_PEER_LIMIT / min(each.seconds for each in runs))}" if spread == NEVER else number(spread)
        table.add(label, *(seconds(each, _PEER_LIMIT) for each in runs), f"{slowest} ×")
        if label in ours:
            table.targets.append(Target(f"{name}, {label}: slowest depth ÷ fastest", spread, _HIGHEST))
    return table
