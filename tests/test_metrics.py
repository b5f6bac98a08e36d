"""Metrics: in a file after each command, and at a port; both formats of Prometheus read them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from feature_sync import FeatureStore
from feature_sync.monitor.exposition import exposition
from feature_sync.monitor.metrics import METRICS, of_pushes
from feature_sync.push.report import Pushed
from tests.support.projects import EXAMPLE, PROJECTS, build_project
from tests.support.shelves import rewrite

NOW = "2024-01-01T12:30:00Z"
NOON = datetime(2024, 1, 1, 12)
ROWS = [("a", 1, NOON, 1.5, 3, "red"), ("b", 2, NOON, None, None, None)]
VIEW = {"project": "stock", "view": "shelves"}


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    return build_project(PROJECTS / "stock", tmp_path_factory.mktemp("metrics_of_stock"), target="duckdb")


@pytest.fixture
def run(stock, redis_url):
    """Run a command of the stock project, which holds two rows of noon."""
    with FeatureStore(stock.folder, profiles_dir=stock.folder, target="duckdb", redis_url=redis_url) as store:
        rewrite(store, ROWS)

    def ran(*arguments: str, exits: int = 0, url: str = redis_url):
        done = stock.feature_sync(*arguments, FEATURE_SYNC_REDIS_URL=url)
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    return ran


def samples_of(page: str) -> dict:
    """Read metrics in both formats, which must agree: values by name and labels."""
    found = [
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        for families in ([*read_openmetrics(page)], [*read_prometheus(page)])
    ]
    assert found[0] == found[1]
    return found[0]


def value(samples: dict, name: str, **labels: str) -> float | None:
    return samples.get((f"feature_sync_{name}", frozenset(labels.items())))


def test_a_push_writes_what_it_did_with_each_view(run, tmp_path):
    file, before = tmp_path / "push.prom", time.time()
    run("push", "--as-of", NOW, "--metrics", str(file))
    found = samples_of(file.read_text())
    assert value(found, "push_success", **VIEW) == 1
    assert [value(found, f"push_{name}_rows", **VIEW) for name in ("written", "deleted", "kept")] == [2, 0, 0]
    assert value(found, "push_sent_bytes", **VIEW) > 0
    assert {dict(labels)["phase"] for name, labels in found if "phase" in name} == {"stage", "send", "commit"}
    assert value(found, "command_exit_code", project="stock", command="push") == 0
    assert before <= value(found, "command_timestamp_seconds", project="stock", command="push") <= time.time()
    run("push", "--as-of", NOW, "--metrics", str(file))
    again = samples_of(file.read_text())
    assert [value(again, f"push_{name}_rows", **VIEW) for name in ("written", "kept")] == [0, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["push.prom"]


def test_a_view_that_is_held_back_is_told(run, tmp_path):
    file = tmp_path / "push.prom"
    run("push", "--as-of", "2030-01-01", "--metrics", str(file), exits=3)
    found = samples_of(file.read_text())
    assert [value(found, f"push_{name}", **VIEW) for name in ("success", "held_back", "failed")] == [0, 1, 0]
    assert value(found, "command_exit_code", project="stock", command="push") == 3


def test_a_command_that_fails_replaces_the_file_and_says_so(run, tmp_path):
    file = tmp_path / "status.prom"
    file.write_text("# what was there before\n")
    done = run("status", "--metrics", str(file), exits=1, url="redis://127.0.0.1:1")
    assert "127.0.0.1:1" in done.stderr
    found = samples_of(file.read_text())
    assert value(found, "command_exit_code", project="stock", command="status") == 1
    assert {name for name, _ in found} == {
        f"feature_sync_command_{each}" for each in ("exit_code", "timestamp_seconds", "duration_seconds")
    }


def test_a_file_that_cannot_be_written_fails_no_push(run, tmp_path):
    done = run("push", "--as-of", NOW, "--metrics", str(tmp_path))
    assert f"Warning: no metrics: {tmp_path} is a folder or a device; name a file\n" in done.stderr
    assert "sent all rows" in done.stdout


def test_a_dry_run_writes_nothing_of_a_push(run, tmp_path):
    file = tmp_path / "push.prom"
    run("push", "--dry-run", "--as-of", NOW, "--metrics", str(file))
    assert not any("push_" in name for name, _ in samples_of(file.read_text()))


def test_a_verification_counts_rows_by_kind(run, tmp_path, redis_url):
    import redis

    file = tmp_path / "verify.prom"
    run("push", "--as-of", NOW)
    run("verify", "--metrics", str(file))
    assert value(samples_of(file.read_text()), "verify_equal", **VIEW) == 1
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*client.keys("stock:shelves:{1|a}*"))
    run("verify", "--metrics", str(file), exits=3)
    found = samples_of(file.read_text())
    assert value(found, "verify_equal", **VIEW) == 0
    kinds = {dict(labels)["kind"]: count for (name, labels), count in found.items() if name.endswith("verify_rows")}
    assert kinds == {"matching": 1, "different": 0, "missing": 1, "extra": 0, "expired": 0, "overdue": 0, "ahead": 0}
    assert (
        value(found, "verify_as_of_timestamp_seconds", **VIEW) == datetime(2024, 1, 1, 12, 30, tzinfo=UTC).timestamp()
    )


def test_a_status_tells_moments_and_not_ages(run, tmp_path):
    file, before = tmp_path / "status.prom", time.time()
    run("push", "--as-of", NOW)
    run("status", "--metrics", str(file))
    found = samples_of(file.read_text())
    noon = NOON.replace(tzinfo=UTC).timestamp()
    assert value(found, "view_rows", **VIEW) == 2
    assert value(found, "view_newest_event_timestamp_seconds", **VIEW) == noon
    assert value(found, "view_clock_timestamp_seconds", **VIEW) == noon + 30 * 60
    assert value(found, "view_ttl_seconds", **VIEW) == 2 * 3_600
    assert before - 1 <= value(found, "view_last_push_timestamp_seconds", **VIEW) <= time.time()
    states = {dict(labels)["state"]: is_so for (name, labels), is_so in found.items() if name.endswith("view_state")}
    assert states == {"pushed": 1, "being_pushed": 0, "never_pushed": 0, "unfinished": 0, "undefined": 0}


def test_the_metrics_of_the_example_name_its_services(example, redis_url, tmp_path):
    file = tmp_path / "status.prom"
    done = example.feature_sync("status", "--metrics", str(file), FEATURE_SYNC_REDIS_URL=redis_url)
    assert done.returncode == 0, done.stderr
    used = {
        tuple(sorted(dict(labels).items()))
        for name, labels in samples_of(file.read_text())
        if name == "feature_sync_service_view"
    }
    assert (("project", "feature_sync"), ("service", "departure_delay_model"), ("view", "airport_weather")) in used


def test_files_of_several_commands_in_one_folder_share_no_sample(run, tmp_path):
    """The textfile collector refuses a folder in which two files have the same metric with the same labels."""
    run("push", "--as-of", NOW, "--metrics", str(tmp_path / "push.prom"))
    for command in ("verify", "status"):
        run(command, "--metrics", str(tmp_path / f"{command}.prom"))
    found = [each for file in tmp_path.iterdir() for each in samples_of(file.read_text())]
    assert len(found) == len({*found})


@contextmanager
def exporter(stock, **environment: str):
    """Run `feature-sync metrics` at a free port; yields its URL and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "feature_sync", "metrics", "--port", "0"],
        cwd=stock.folder,
        env={**stock.variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ending = threading.Timer(60, process.kill)
    ending.start()
    try:
        yield process.stdout.readline().strip(), process
    finally:
        ending.cancel()
        process.kill()
        process.communicate()


def test_the_exporter_answers_the_status_of_now(run, stock, redis_url):
    with exporter(stock, FEATURE_SYNC_REDIS_URL=redis_url) as (url, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url)
        with urlopen(url) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            found = samples_of(answer.read().decode())
        assert value(found, "up", project="stock") == 1
        assert value(found, "view_state", **VIEW, state="never_pushed") == 1
        run("push", "--as-of", NOW)
        found = samples_of(urlopen(url).read().decode())
        assert (value(found, "view_state", **VIEW, state="pushed"), value(found, "view_rows", **VIEW)) == (1, 2)
        with pytest.raises(HTTPError, match="404"):
            urlopen(url.replace("/metrics", "/"))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (143, "Error: ended by SIGTERM\n")


def test_the_exporter_says_that_it_cannot_read_instead_of_failing(run, stock):
    with exporter(stock, FEATURE_SYNC_REDIS_URL="redis://127.0.0.1:1") as (url, process):
        for _ in range(2):
            assert samples_of(urlopen(url).read().decode()) == {
                ("feature_sync_up", frozenset({("project", "stock")})): 0
            }
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert said.count("127.0.0.1:1") == 1  # one warning for both scrapes


def test_a_port_that_is_taken_is_one_line(run, stock, redis_url):
    with exporter(stock, FEATURE_SYNC_REDIS_URL=redis_url) as (url, _):
        port = url.split(":")[2].split("/")[0]
        done = run("metrics", "--port", port, exits=1)
    assert done.stderr == f"Error: cannot listen at 127.0.0.1:{port}: {os.strerror(98)}\n"


def test_names_of_any_letters_are_read_back():
    name = 'a "view"\\n\n of {é} \\'
    page = exposition(of_pushes([Pushed(feature_view=name, written=3)]), project=name)
    assert value(samples_of(page), "push_written_rows", project=name, view=name) == 3


def test_every_metric_is_explained_to_operators():
    page = (EXAMPLE / "docs" / "operations.md").read_text()
    told = set(re.findall(r"^\| `(feature_sync_\w+)` \|", page, re.MULTILINE))
    assert told == {*METRICS}
    for metric in METRICS.values():
        assert f"| `{metric.name}` | {', '.join(f'`{each}`' for each in metric.labels)} | {metric.help} |" in page
