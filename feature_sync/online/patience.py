"""Tries again what a lost connection makes fail; everything that is tried here may run twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

LOST = (redis.ConnectionError, OSError)
"""A connection that is gone; who did not answer in time has had all the time there is."""
PUSHING = (0.1, 0.2, 0.5, 1, 2, 4)
ASKING = (0.1, 0.2, 0.5)
"""The seconds before each further try: a push in its midst has more to lose than who has only asked."""

Answer = TypeVar("Answer")


def with_retry(attempt: Callable[[], Answer], seconds: Sequence[float]) -> Answer:
    """Try again and again, but not for ever; a refused password stays refused."""
    for pause in seconds:
        try:
            return attempt()
        except redis.AuthenticationError:
            raise
        except LOST:
            time.sleep(pause)
    return attempt()


class PatientRedis(redis.Redis):
    """A client that sends a command again when its connection was lost, as idle ones are by firewalls."""

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command."""
        run: Callable[..., Any] = super().execute_command
        return with_retry(lambda: run(*arguments, **options), ASKING)
