"""Prints the results of pushes, as a table or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feature_sync.cli.documents import of_push
from feature_sync.cli.saying import say
from feature_sync.cli.tables import print_json, print_table, size

if TYPE_CHECKING:
    from feature_sync.push import Pushed


@contextmanager
def printed_pushes(*, as_json: bool) -> Iterator[list[Pushed]]:
    """Yield a list to collect the result of each view in, and print it at the end, also if views failed.

    The error of a single failed view propagates, and `main` prints it; of several, each is printed here.
    """
    done: list[Pushed] = []
    try:
        yield done
    finally:
        done.sort(key=lambda each: each.feature_view)
        if as_json or any(each.failed is None for each in done):
            print_pushed(done, as_json=as_json)
        failed = [each for each in done if each.failed is not None]
        for each in failed if len(failed) > 1 else []:
            say(f"Error: {each.feature_view}: {each.failed}", err=True)


def print_pushed(pushed: Sequence[Pushed], *, as_json: bool) -> None:
    """Print the result of each view: rows written, deleted and kept, bytes sent, time, and the outcome."""
    if as_json:
        print_json(of_push(pushed))
        return
    rows = [
        (
            each.feature_view,
            f"{each.written:,}",
            f"{each.deleted:,}",
            f"{each.kept:,}",
            size(each.sent_bytes),
            f"{each.duration_seconds:.2f} s",
            _outcome(each),
        )
        for each in pushed
    ]
    columns = ("feature view", "written", "deleted", "kept", "sent", "time", "")
    print_table(columns, rows, right=(1, 2, 3, 4, 5))


def _outcome(pushed: Pushed) -> str:
    if pushed.failed is not None:
        return "failed, see below"
    if pushed.held_back is not None:
        return f"held back: {pushed.held_back}"
    if pushed.is_pruned:
        return "removed: the project no longer pushes it"
    if pushed.full is None and not pushed.written and not pushed.deleted:
        return "unchanged"
    what = "the changes" if pushed.full is None else f"all rows: {pushed.full}"
    if not pushed.is_dry_run:
        return f"sent {what}"
    scanned = "" if pushed.scan_bytes is None else f"; {size(pushed.scan_bytes)} scanned"
    shards = ", ".join(f"{name} {size(needed)}" for name, needed in sorted(pushed.shard_bytes.items()))
    per_shard = f" ({shards})" if shards else ""
    return f"would send {what}; about {size(pushed.memory_bytes)} of Redis's memory{per_shard}{scanned}"
