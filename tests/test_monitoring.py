"""Alert rules and dashboard of deploy/monitoring fit the metrics; Prometheus itself scrapes and evaluates."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from contextlib import contextmanager
from functools import reduce
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from feature_sync.monitor.metrics import METRICS
from tests.support.projects import EXAMPLE
from tests.test_metrics import exporter

FOLDER = EXAMPLE / "deploy" / "monitoring"
TOOLS = EXAMPLE / ".prometheus" / "usr" / "bin"
ALERTS, DASHBOARD = (FOLDER / "alerts.yml").read_text(), json.loads((FOLDER / "dashboard.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES = [each["query"] for each in DASHBOARD["templating"]["list"]]
ALERT_NAMES = re.findall(r"- alert: (\w+)", ALERTS)
UNLESS_FIXED = "\n            unless feature_sync_view_clock"
SECONDS_TO_START = 60
VARIABLES, ANY = ("$project", "$view"), ".*"


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"feature_sync_[a-z_]+", text))


def labels_in(text: str) -> set[str]:
    return {name for matchers in re.findall(r"\{([^{}]*)\}", text) for name in re.findall(r"(\w+)[=!]~?\"", matchers)}


def test_alerts_and_dashboard_ask_for_metrics_and_labels_that_exist():
    for text in (ALERTS, *EXPRESSIONS, *QUERIES):
        assert metrics_in(text) <= {*METRICS}
        known = {label for name in metrics_in(text) for label in METRICS[name].labels}
        assert labels_in(text) <= {"project", *known}


def test_every_metric_is_watched():
    used = metrics_in(ALERTS).union(*map(metrics_in, (*EXPRESSIONS, *QUERIES)))
    assert used == {*METRICS}


def test_operators_know_what_to_do_for_each_alert():
    page = (EXAMPLE / "docs" / "operations.md").read_text()
    assert re.findall(r"^\| `(FeatureSync\w+)` \|", page, re.MULTILINE) == ALERT_NAMES
    assert {*re.findall(r"alertname: (\w+)", (FOLDER / "alerts_test.yml").read_text())} == {*ALERT_NAMES}


def tool(name: str):
    path = TOOLS / name
    assert path.exists(), f"{path} is missing: make .prometheus/.made"
    return path


def promtool(*arguments: str, content: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("promtool"), *arguments], cwd=FOLDER, input=content, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_promtool_accepts_the_rules_and_their_unit_tests(tmp_path):
    checked = promtool("check", "rules", "alerts.yml")
    assert (checked.returncode, f"{len(ALERT_NAMES)} rules found" in checked.stdout) == (0, True), checked.stderr
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (f"> feature_sync_view_ttl_seconds{UNLESS_FIXED}", f"> 0{UNLESS_FIXED}"),
        ("feature_sync_push_held_back == 1", "feature_sync_push_held_back == 0"),
        ("feature_sync_up == 0", "feature_sync_up =="),
    ],
)  # fmt: skip
def test_a_fault_in_the_rules_is_found(tmp_path, right, wrong):
    assert ALERTS.count(right) >= 1
    (tmp_path / "alerts.yml").write_text(ALERTS.replace(right, wrong, 1))
    (tmp_path / "alerts_test.yml").write_text((FOLDER / "alerts_test.yml").read_text())
    tested = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert tested.returncode != 0


@pytest.mark.slow
def test_promtool_accepts_the_files_that_commands_write(example, redis_url, tmp_path):
    for command in ("push", "verify", "status"):
        file = tmp_path / f"{command}.prom"
        done = example.feature_sync(command, "--metrics", str(file), FEATURE_SYNC_REDIS_URL=redis_url)
        assert done.returncode == 0, done.stderr
        checked = promtool("check", "metrics", content=file.read_text())
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@contextmanager
def prometheus(folder, scraped: str):
    """Run Prometheus with our alert rules, scraping a URL each second; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host, path = re.fullmatch(r"http://([^/]+)(/.*)", scraped).groups()
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: [{FOLDER / 'alerts.yml'}]\n"
        f"scrape_configs: [{{job_name: feature-sync, metrics_path: {path}, "
        f"static_configs: [{{targets: ['{host}']}}]}}]\n"
    )
    server = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def asked(url: str, path: str, **parameters: str) -> dict:
    """Ask Prometheus, once it answers."""
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urlopen(f"{url}/api/v1/{path}?{urlencode(parameters)}") as answer:
                return json.loads(answer.read())["data"]
        except URLError as refused:
            if hasattr(refused, "code") and refused.code < 500:
                raise AssertionError(f"{parameters}: {refused.read().decode()}") from refused
            assert time.monotonic() < end, "Prometheus does not answer"
            time.sleep(0.2)


def eventually(url: str, expression: str) -> list[dict]:
    """Ask until there is an answer that is not empty."""
    end = time.monotonic() + SECONDS_TO_START
    while not (found := asked(url, "query", query=expression)["result"]):
        assert time.monotonic() < end, f"{expression} has no result"
        time.sleep(0.2)
    return found


def healths_of(url: str) -> dict[str, str]:
    """Ask how the rules fared, once each was evaluated."""
    end = time.monotonic() + SECONDS_TO_START
    while "unknown" in (found := {each["name"]: each["health"] for each in rules_of(url)}).values():
        assert time.monotonic() < end, f"rules are not evaluated: {found}"
        time.sleep(0.2)
    return found


def rules_of(url: str) -> list[dict]:
    (group,) = asked(url, "rules")["groups"]
    return group["rules"]


@pytest.mark.slow
def test_prometheus_scrapes_the_exporter_and_evaluates_rules_and_dashboard(example, redis_url, tmp_path):
    pushed = example.feature_sync("push", FEATURE_SYNC_REDIS_URL=redis_url)
    assert pushed.returncode == 0, pushed.stderr
    with (
        exporter(example, FEATURE_SYNC_REDIS_URL=redis_url) as (scraped, _),
        prometheus(tmp_path, scraped) as url,
    ):
        assert {each["value"][1] for each in eventually(url, "feature_sync_up")} == {"1"}
        rows = {each["metric"]["view"]: each["value"][1] for each in eventually(url, "feature_sync_view_rows")}
        assert int(rows["airport_weather"]) > 0
        (target,) = asked(url, "targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        services = "feature_sync_view_rows * on (project, view) group_right () feature_sync_service_view"
        assert "departure_delay_model" in {each["metric"]["service"] for each in eventually(url, services)}
        for expression in EXPRESSIONS:
            chosen = reduce(lambda text, name: text.replace(name, ANY), VARIABLES, expression)
            assert asked(url, "query", query=chosen)["resultType"] == "vector"
        assert healths_of(url) == dict.fromkeys(ALERT_NAMES, "ok")
