"""Retries of commands whose connection was lost; a command that is sent again may run twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

LOST = (redis.ConnectionError, OSError)
"""The errors of a lost connection. A timeout is not among them: the wait has already used the whole timeout."""
ASKING = Retry(ExponentialBackoff(base=0.05, cap=0.4), retries=3, supported_errors=LOST)
"""For single commands: again after 0.1, 0.2 and 0.4 seconds."""
PUSHING = Retry(ExponentialBackoff(base=0.05, cap=4), retries=7, supported_errors=LOST)
"""For a running push, which has more to lose: over 10 seconds."""

Answer = TypeVar("Answer")


def with_retry(attempt: Callable[[], Answer], retry: Retry) -> Answer:
    """Attempt again after a lost connection; a refused login, a kind of connection error, is not tried again."""
    return retry.call_with_retry(
        attempt, lambda lost: None, is_retryable=lambda lost: not isinstance(lost, redis.AuthenticationError)
    )


class RetryingRedis(redis.Redis):
    """A client that sends a command again if its connection was lost, as firewalls drop idle ones."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command; again after a lost connection, so perhaps twice."""
        run: Callable[..., Any] = super().execute_command
        return with_retry(lambda: run(*arguments, **options), ASKING)
