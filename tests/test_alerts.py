"""Alerts: a webhook or a command gets what somebody should know, and never fails a push, whatever it does itself."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from feature_sync.errors import ProfileError
from feature_sync.monitor.alerts import Kind, of_status
from feature_sync.monitor.hooks import read_hook
from feature_sync.push.status import ViewStatus
from tests.support.projects import EXAMPLE, PROJECTS, BuiltProject, copy_project
from tests.test_skew import EXPOSURE

NOW, LATER = "2024-01-01T12:30:00Z", "2030-01-01T00:00:00Z"
NOON, HOUR, MINUTE = datetime(2024, 1, 1, 12, tzinfo=UTC), timedelta(hours=1), timedelta(minutes=1)
SECRET = "T0pSecret"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = copy_project(PROJECTS / "stock", tmp_path_factory.mktemp("alerts_of_stock"))
    with (folder / "models" / "models.yml").open("a") as models:
        models.write(EXPOSURE)
    configure(folder, {"command": ["true"]})  # dbt passes over it
    project = BuiltProject(folder, "duckdb")
    project.dbt("--quiet", "--warn-error", "build")
    return project


def configure(folder, on_alert) -> None:
    path = folder / "profiles.yml"
    profiles = yaml.safe_load(path.read_text())
    profiles["stock"]["feature_sync"] = {"on_alert": on_alert}
    path.write_text(yaml.safe_dump(profiles))


@pytest.fixture
def run(built, redis_url):
    def ran(on_alert, *arguments: str, exits: int, **environment: str):
        configure(built.folder, on_alert)
        done = built.feature_sync(*arguments, **{"FEATURE_SYNC_REDIS_URL": redis_url, **environment})
        assert done.returncode == exits, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done

    return ran


@pytest.fixture
def kept(tmp_path):
    """A command that keeps what it gets, and the function that reads it."""
    file = tmp_path / "alert.json"
    code = f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read())"
    return [sys.executable, "-c", code], lambda: json.loads(file.read_text()) if file.exists() else None


@contextmanager
def webhook(*, status: int = 200, silent: bool = False):
    """A real HTTP server; yields its URL, which has a secret, and the documents that it got."""
    got, done = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            if silent:
                done.wait(60)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/services/{SECRET}", got
        finally:
            done.set()
            server.shutdown()


def test_a_command_gets_a_view_that_is_held_back_on_its_standard_input(run, kept):
    command, read = kept
    before = datetime.now(UTC)
    run({"command": command}, "push", "--as-of", LATER, exits=3)
    document = read()
    at = datetime.fromisoformat(document.pop("at"))
    assert before <= at <= datetime.now(UTC)
    (alert,) = document.pop("alerts")
    assert document == {"format_version": "1.0", "project": "stock", "target": "duckdb", "command": "push"}
    assert "no row" in alert.pop("message")
    assert alert == {"kind": "held_back", "feature_view": "shelves", "feature_services": ["stock_model"]}


def test_the_document_is_the_one_that_the_page_shows(run, kept):
    command, read = kept
    run({"command": command}, "push", "--as-of", LATER, exits=3)
    page = (EXAMPLE / "docs" / "operations.md").read_text()
    shown = json.loads(page.split("```json\n", 1)[1].split("```", 1)[0])
    assert [*read()] == [*shown]
    assert [*read()["alerts"][0]] == [*shown["alerts"][0]]
    assert all(f"`{kind}`" in page for kind in Kind)


def test_a_webhook_gets_differences_and_stale_views(run, redis_url):
    import redis

    with webhook() as (url, got):
        run({"webhook": url}, "push", "--as-of", NOW, exits=0)
        run({"webhook": url}, "verify", exits=0)
        run({"webhook": url}, "status", exits=0)
        assert got == []
        with redis.Redis.from_url(redis_url) as client:
            client.delete("stock:shelves:{1|a}")
        run({"webhook": "{{ env_var('ALERTS') }}"}, "verify", exits=3, ALERTS=url)
        run({"webhook": url, "kinds": ["stale"]}, "verify", exits=3)
    ((path, document),) = got
    assert (path, document["command"]) == (f"/services/{SECRET}", "verify")
    assert [(each["kind"], each["message"]) for each in document["alerts"]] == [("different", "1 rows are missing")]


@pytest.mark.parametrize(
    ("known", "is_stale"),
    [
        pytest.param({"rows": 2, "newest": NOON, "ttl": HOUR, "as_of": NOON + HOUR}, False, id="the end of its TTL"),
        pytest.param({"rows": 0, "newest": NOON, "ttl": HOUR, "as_of": NOON + HOUR + MINUTE}, True, id="beyond it"),
        pytest.param({"newest": NOON, "ttl": HOUR, "as_of": NOON + HOUR + MINUTE}, True, id="rows are unknown"),
        pytest.param({"rows": 2, "newest": NOON, "as_of": NOON + HOUR}, False, id="no TTL"),
        pytest.param({"rows": 0, "as_of": NOON}, True, id="an empty table"),
        pytest.param({"as_of": NOON}, False, id="never pushed"),
    ],
)  # fmt: skip
def test_a_view_is_stale_when_no_row_answers_any_more(known, is_stale):
    alerts = [*of_status(ViewStatus(feature_view="shelves", is_defined=True, **known))]
    assert [(each.kind, each.feature_view) for each in alerts] == [("stale", "shelves")] * is_stale


def test_a_status_of_fresh_rows_tells_nobody(run, kept):
    command, read = kept
    run({"command": command}, "push", "--as-of", NOW, exits=0)
    run({"command": command}, "status", exits=0)
    assert read() is None


def test_a_push_that_fails_as_a_whole_is_told(run, kept):
    command, read = kept
    run({"command": command}, "push", "--as-of", NOW, exits=1, FEATURE_SYNC_REDIS_URL="redis://127.0.0.1:1")
    (alert,) = read()["alerts"]
    assert (alert["kind"], alert["feature_view"], alert["feature_services"]) == ("failed", None, [])
    assert "127.0.0.1:1" in alert["message"]


def test_a_dry_run_tells_nobody(run, kept):
    command, read = kept
    run({"command": command}, "push", "--dry-run", "--as-of", NOW, exits=0)
    assert read() is None


@pytest.mark.parametrize(
    ("on_alert", "words"),
    [
        pytest.param({"command": ["false"]}, "the command false ended with exit code 1", id="exit code"),
        pytest.param(
            {"command": f"nosuchprogram {SECRET}"}, "the command nosuchprogram cannot be run", id="no program"
        ),
        pytest.param({"command": ["sleep", "60"], "timeout": "1s"}, "took over 1 s and was ended", id="slow command"),
        pytest.param(
            {"command": ["sh", "-c", "sleep 60 & sleep 60"], "timeout": "1s"}, "took over 1 s", id="its children, too"
        ),
        pytest.param(
            {"webhook": f"http://127.0.0.1:1/{SECRET}"}, "the webhook at 127.0.0.1 cannot be reached", id="refused"
        ),
        pytest.param(
            {"webhook": f"https://user:{SECRET}@nosuch.invalid/"}, "the webhook at nosuch.invalid", id="no such host"
        ),
        pytest.param(
            {"webhook": f"ftp://{SECRET}"}, "stock.feature_sync.on_alert.webhook: must be a URL", id="no webhook"
        ),
        pytest.param({"webhok": SECRET}, "on_alert.webhok: unknown key; did you mean 'webhook'?", id="mistyped"),
        pytest.param({"webhook": "{{ env_var('NOT_SET') }}"}, "NOT_SET", id="variable that is not set"),
        pytest.param({"command": ["true"], "kinds": "hold"}, "'hold' is not a kind of alert", id="no kind"),
    ],
)
def test_a_hook_that_fails_is_a_warning_without_secrets(run, on_alert, words):
    done = run(on_alert, "push", "--as-of", LATER, exits=3)
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning: ") and words in line]
    assert len(warnings) == 1, done.stderr


@pytest.mark.parametrize(
    ("options", "words"), [({"status": 503}, "answered 503"), ({"silent": True}, "did not answer within 1 s")]
)
def test_a_webhook_that_refuses_or_is_silent_is_a_warning(run, options, words):
    with webhook(**options) as (url, got):
        done = run({"webhook": url, "timeout": "1s"}, "push", "--as-of", LATER, exits=3)
        assert f"Warning: on_alert: the webhook at 127.0.0.1 {words}\n" in done.stderr
        assert len(got) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("text", "must be a mapping"),
        ({"webhook": 7}, "webhook: must be a URL"),
        ({"webhook": f"https://{SECRET}:port/"}, "webhook: must be a URL"),
        ({"command": {"a": 1}}, "command: must be a program"),
        ({"command": 'say "'}, "command: must be a program"),
        ({"timeout": "0s", "command": "true"}, "timeout: must be above 0s and at most 60s"),
        ({"timeout": "soon", "command": "true"}, "is not a duration"),
    ],
)
def test_settings_that_make_no_sense_name_their_key(settings, words):
    with pytest.raises(ProfileError) as refused:
        read_hook(settings, "profiles.yml: shop.feature_sync.on_alert")
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_no_hook_is_none_and_a_hook_hides_what_may_be_secret():
    assert read_hook(None, "") is read_hook({"webhook": ""}, "") is read_hook({"kinds": "stale"}, "") is None
    hook = read_hook({"webhook": f"https://example.com/{SECRET}", "command": f"say {SECRET}"}, "")
    assert hook.command == ("say", SECRET)
    assert SECRET not in repr(hook)
