"""Serving beside Feast, in its own environment, on the same Redis with the same rows: its SDK and its server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow
import pyarrow.parquet

from bench.report import Table, Target, number
from bench.sections.feast import PYTHON
from bench.serving import servers
from bench.serving.clock import Spread, race, repeated, shown
from bench.serving.data import Served, served
from bench.serving.dialogue import Partner, partner
from bench.serving.latency import asker
from bench.serving.names import KEY, PREFIX, SERVICES, TIMEOUT, TITLES, features_of
from feature_sync import FeatureClient

_ENTITIES = 2_000
_LEAST_ENTITIES = 500
_COUNTS = {1: 500, 10: 200, 100: 60, 500: 20}
"""How many entities are asked for, and how many times."""
_LEAST_TIMES = {1: 8, 100: 20}
_OURS, _VECTORS = "feature-sync, to_dict()", "feature-sync, vectors"
_FEASTS = {"Feast, a feature service, to_dict()": False, "Feast, a list of features, to_dict()": True}
"""Whether the contender is tuned."""


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time the client beside Feast's SDK, and then the servers."""
    with served(max(_LEAST_ENTITIES, round(_ENTITIES * scale))) as held:
        _write_files(held, folder)
        task = {"redis": urlsplit(held.tcp).netloc, "folder": str(folder.resolve())}
        with partner("bench.serving.feast_worker", task, python=str(PYTHON)) as feast:
            feast.heard()
            for service in TITLES:
                yield _table(held, service, feast, scale)
        yield from servers.tables(held, folder, PYTHON.with_name("feast"), scale)


def _write_files(held: Served, folder: Path) -> None:
    """Write the rows that Feast reads."""
    things = {KEY: [*range(held.entities)], "event_timestamp": [datetime.now(UTC)] * held.entities}
    for view, columns in held.columns.items():
        pyarrow.parquet.write_table(pyarrow.table({**things, **columns}), folder / f"{view}.parquet")


def _table(held: Served, service: str, feast: Partner, scale: float) -> Table:
    took: dict[int, Mapping[str, Spread]] = {}
    with FeatureClient(held.tcp, service, prefix=PREFIX, timeout=TIMEOUT) as client:
        for count, times in _COUNTS.items():
            ask = asker(client, range(count))
            contenders = {_VECTORS: repeated(ask), _OURS: repeated(lambda ask=ask: ask().to_dict())}
            for name, is_tuned in _FEASTS.items():
                asked = {"service": service, "count": count, "is_tuned": is_tuned}
                answer = feast.ask({**asked, "times": 0})
                columns = [answer[each] for view in SERVICES[service] for each in features_of(view)]
                held.check(name, service, range(count), [*zip(*columns, strict=True)])
                contenders[name] = lambda times, asked=asked: feast.ask({**asked, "times": times})
            took[count] = race(contenders, times=round(times * scale))
    return _shown(service, took)


def _shown(service: str, took: Mapping[int, Mapping[str, Spread]]) -> Table:
    heads = [f"{count} {'entity' if count == 1 else 'entities'}" for count in took]
    columns = ("", *(each for head in heads for each in (f"{head}, p50", "p99", "times as long")))
    table = Table(f"The client and Feast's SDK: {TITLES[service]}, over TCP", columns)
    for name in took[1]:
        cells = []
        for each in took.values():
            ratio = each[name].p50 / each[_OURS].p50
            cells += [shown(each[name].p50), shown(each[name].p99), f"{number(ratio)} ×"]
        table.add(name, *cells)
    for (count, least), head in zip(_LEAST_TIMES.items(), ("One entity", "100 entities"), strict=True):
        quickest = min(took[count][name].p50 for name in _FEASTS)
        ratio = quickest / took[count][_OURS].p50
        table.targets.append(Target(f"{head}, p50, Feast's quickest, times ours", ratio, least, at_least=True))
    return table
