"""When to send a command again whose connection was lost; whatever is sent again may run twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

LOST = (redis.ConnectionError, OSError)
"""The connection is gone. An answer that did not come in time is no such error: it has had all the time there is."""
ASKING = Retry(ExponentialBackoff(base=0.05, cap=0.5), retries=3, supported_errors=LOST)
"""For a question: after 0.1, 0.2 and 0.4 seconds."""
PUSHING = Retry(ExponentialBackoff(base=0.05, cap=4), retries=6, supported_errors=LOST)
"""For a push in its midst, which has more to lose: over 6 seconds, enough for a failover or a restart."""

Answer = TypeVar("Answer")


def with_retry(attempt: Callable[[], Answer], retry: Retry) -> Answer:
    """Try again while the connection is lost; a refused password stays refused."""
    return retry.call_with_retry(
        attempt, lambda lost: None, is_retryable=lambda lost: not isinstance(lost, redis.AuthenticationError)
    )


class RetryingRedis(redis.Redis):
    """A client that sends a command again when its connection was lost, as idle ones are by firewalls."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command."""
        run: Callable[..., Any] = super().execute_command
        return with_retry(lambda: run(*arguments, **options), ASKING)
