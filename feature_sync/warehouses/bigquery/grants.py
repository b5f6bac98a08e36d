"""Writes the rights that a project needs in BigQuery: statements, and commands for what only a project can grant.

The permissions below are those of the calls that we make. The roles that hold them are Google's own, on the least that
Google lets them be granted on: a project for jobs, a dataset for tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from feature_sync.definitions import Target
from feature_sync.errors import RequestError
from feature_sync.warehouses.base import read_settings
from feature_sync.warehouses.bigquery.settings import BigQuerySettings
from feature_sync.warehouses.bigquery.values import quoted
from feature_sync.warehouses.rights import NeededRights

JOBS = ("bigquery.jobs.create", "bigquery.readsessions.create", "bigquery.readsessions.getData")
"""On the project that pays. Whoever creates a job may look at it and cancel it."""
READING = ("bigquery.datasets.get", "bigquery.tables.get", "bigquery.tables.getData", "bigquery.tables.list")
"""On a dataset that is read."""
KEEPING = (
    *READING,
    "bigquery.tables.create", "bigquery.tables.delete", "bigquery.tables.update", "bigquery.tables.updateData",
)  # fmt: skip
"""On the dataset of states, and where the spine of a training set is put for a while."""
_PART = re.compile(r"`((?:[^`\\]|\\.)*)`|([^`.]+)")
_PRINCIPAL = re.compile(r"(?:user|group|serviceAccount|domain|principal|principalSet):[^\s\"'\\]+")


def write_grants(target: Target, needed: NeededRights) -> str:
    """Return the statements and commands, each a line.

    Raises:
        RequestError: A role is not written as IAM writes principals.
    """
    for option, principal in (("--pusher", needed.pusher), ("--reader", needed.reader)):
        if not _PRINCIPAL.fullmatch(principal):
            raise RequestError(
                f"{option}: {principal!r} is not a principal of IAM; write serviceAccount:ADDRESS, user:ADDRESS or "
                "group:ADDRESS"
            )
    settings = read_settings(target, BigQuerySettings)
    project = settings.project or settings.database or "PROJECT"
    pays = settings.execution_project or project
    state = [] if needed.state_schema is None else [f"{quoted(project)}.{quoted(needed.state_schema)}"]
    lines = [
        f"-- On the project that pays ({', '.join(JOBS)}); in a shell:",
        *_on_the_project(pays, (needed.pusher, needed.reader)),
        f"-- push: reads {', '.join(needed.pushed)} ({', '.join(READING)})",
        *_on_datasets("roles/bigquery.dataViewer", _datasets(needed.pushed.values()), needed.pusher),
        *_keeping(state, needed.pusher),
        "-- extract, verify, status, forget, check --warehouse, push --dry-run",
        *_on_datasets("roles/bigquery.dataViewer", [*_datasets(needed.read.values()), *state], needed.reader),
        "-- extract with a file or --spine-sql also puts the spine beside the models, for a day at most; that needs",
        f"-- roles/bigquery.dataEditor on {quoted(project)}.{quoted(target.schema)}: give it a target with a dataset",
        "-- of its own",
    ]
    return "\n".join([*lines, ""])


def _keeping(state: Iterable[str], pusher: str) -> Iterator[str]:
    for dataset in state:
        yield f"-- and writes only its own dataset ({', '.join(KEEPING[len(READING) :])})"
        yield f"create schema if not exists {dataset};"
        yield from _on_datasets("roles/bigquery.dataEditor", [dataset], pusher)


def _on_the_project(project: str, principals: Iterable[str]) -> Iterator[str]:
    for principal in principals:
        for role in ("jobUser", "readSessionUser"):
            options = f"--member='{principal}' --role='roles/bigquery.{role}' --condition=None"
            yield f"-- gcloud projects add-iam-policy-binding '{project}' {options}"


def _on_datasets(role: str, datasets: Iterable[str], principal: str) -> Iterator[str]:
    for dataset in datasets:
        yield f'grant {quoted(role)} on schema {dataset} to "{principal}";'


def _datasets(relations: Iterable[str]) -> list[str]:
    """Return the quoted datasets of quoted relations, each once."""
    named = [[one or two for one, two in _PART.findall(relation)] for relation in relations]
    return list(dict.fromkeys(".".join(map(quoted, parts[:-1])) for parts in named))
