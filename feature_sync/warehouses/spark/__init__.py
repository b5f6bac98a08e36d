"""Spark through the client of Spark Connect, whose results come as Arrow; its server may be Spark, or speak like it."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _not_for_doctests() -> Iterator[None]:
    """Give `__main__` a file: without one the client believes that it runs its own doctests.

    Then it looks for Spark, finds none, and ends the process: with `python -c`, and in embedded interpreters.
    """
    main = sys.modules["__main__"]
    if hasattr(main, "__file__"):
        yield
        return
    main.__file__ = ""
    try:
        yield
    finally:
        del main.__file__


with _not_for_doctests(), warnings.catch_warnings():  # of pandas 3, through which the client converts nothing here
    warnings.simplefilter("ignore", FutureWarning)
    import pyspark.sql.connect.session  # noqa: F401
