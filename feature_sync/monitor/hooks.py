"""Hooks: a webhook or a command that gets alerts; what goes wrong with it is a text without secrets, never an error."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from feature_sync.definitions import parse_duration
from feature_sync.errors import ProfileError, did_you_mean
from feature_sync.monitor.alerts import Kind

_KEYS = ("webhook", "command", "kinds", "timeout")
_SECONDS = 5.0
_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Who gets alerts, of which kinds, and how long that may take.

    Args:
        webhook: The URL that gets them by POST; left out of the `repr`, since it may hold a token.
        command: The program that gets them on its standard input, with its arguments; no shell reads them.
        kinds: The kinds that are sent.
        seconds: How long each may take.
    """

    webhook: str | None = field(default=None, repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    kinds: frozenset[Kind] = frozenset(Kind)
    seconds: float = _SECONDS

    def send(self, document: str) -> list[str]:
        """Send alerts; returns what went wrong. Takes no longer than `seconds` for each of webhook and command."""
        problems = [
            _post(self.webhook, document, self.seconds) if self.webhook else None,
            _run(self.command, document, self.seconds) if self.command else None,
        ]
        return [each for each in problems if each is not None]


def read_hook(settings: Any, where: str) -> Hook | None:
    """Read `on_alert`; None without one.

    Args:
        settings: The block, rendered.
        where: File and YAML key, for errors.

    Raises:
        ProfileError: A key is unknown, or its value is wrong; the value is not in the text.
    """
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        raise ProfileError(f"{where}: must be a mapping with webhook or command")
    for key in settings:
        if key not in _KEYS:
            raise ProfileError(f"{where}.{key}: unknown key{did_you_mean(str(key), _KEYS)}")
    hook = Hook(
        webhook=_webhook(settings.get("webhook"), where),
        command=_command(settings.get("command"), where),
        kinds=_kinds(settings.get("kinds"), where),
        seconds=_seconds(settings.get("timeout"), where),
    )
    return hook if hook.webhook or hook.command else None


def _webhook(value: Any, where: str) -> str | None:
    if value in (None, ""):
        return None
    try:
        parts = (
            urlsplit(value) if isinstance(value, str) and value.isascii() and not set(value) & set(" \r\n\t") else None
        )
        is_url = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise ProfileError(f"{where}.webhook: must be a URL that begins with https:// or http://")
    return str(value)


def _command(value: Any, where: str) -> tuple[str, ...]:
    if value in (None, "", []):
        return ()
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(each, str) and "\0" not in each for each in words):
        raise ProfileError(f"{where}.command: must be a program with its arguments, as a text or a list of texts")
    return tuple(words)


def _kinds(value: Any, where: str) -> frozenset[Kind]:
    if value is None:
        return frozenset(Kind)
    listed: Iterable[Any] = value if isinstance(value, list) else [value]
    for each in listed:
        if each not in [*Kind]:
            raise ProfileError(f"{where}.kinds: {each!r} is not a kind of alert; they are {', '.join(Kind)}")
    return frozenset(map(Kind, listed))


def _seconds(value: Any, where: str) -> float:
    if value is None:
        return _SECONDS
    try:
        read = parse_duration(str(value))
    except ValueError as wrong:
        raise ProfileError(f"{where}.timeout: {wrong}") from wrong
    if not timedelta(0) < read <= timedelta(seconds=_MOST_SECONDS):
        raise ProfileError(f"{where}.timeout: must be above 0s and at most {_MOST_SECONDS:.0f}s")
    return read.total_seconds()


def _post(url: str, document: str, seconds: float) -> str | None:
    """Post to a URL; returns what went wrong, with the host alone."""
    shown = f"the webhook at {urlsplit(url).hostname}"
    problems = [f"{shown} did not answer within {seconds:g} s"]

    def post() -> None:
        problems[:] = _posted(url, document, seconds, shown)

    # In a thread: the time limit of a socket begins anew with each byte that a slow server sends.
    thread = Thread(target=post, name="feature-sync-alert", daemon=True)
    thread.start()
    thread.join(seconds)
    return next(iter([*problems]), None)


def _posted(url: str, document: str, seconds: float, shown: str) -> list[str]:
    headers = {"Content-Type": "application/json", "User-Agent": "feature-sync"}
    try:
        with urlopen(Request(url, document.encode(), headers, method="POST"), timeout=seconds):  # noqa: S310 - see _webhook
            return []
    except HTTPError as refused:
        refused.close()
        return [f"{shown} answered {refused.code}"]
    except TimeoutError:
        return [f"{shown} did not answer within {seconds:g} s"]
    except URLError as unreachable:
        reason = unreachable.reason
        return [f"{shown} cannot be reached: {getattr(reason, 'strerror', None) or type(reason).__name__}"]
    except (OSError, HTTPException, ValueError) as failed:
        return [f"{shown} failed: {type(failed).__name__}"]


def _run(command: tuple[str, ...], document: str, seconds: float) -> str | None:
    """Run a command; returns what went wrong, with the name of the program alone."""
    program = f"the command {Path(command[0]).name}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **quiet)  # type: ignore[call-overload]
    except OSError as refused:
        return f"{program} cannot be run: {refused.strerror or refused}"
    try:
        process.communicate(document.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"{program} took over {seconds:g} s and was ended"
    except OSError as refused:
        _kill(process)
        return f"{program} failed: {refused.strerror or refused}"
    return f"{program} ended with exit code {process.returncode}" if process.returncode else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with the processes that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):  # it ended just now; or Windows, which has no groups
        process.kill()
    process.wait()
