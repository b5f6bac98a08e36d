"""Wall clocks of a zone: which moment they mean where the zone turns its clocks."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp


def last_reading(
    clock: exp.Expr,
    read: Callable[[exp.Expr], exp.Expr],
    show: Callable[[exp.Expr], exp.Expr],
    move: Callable[[exp.Expr, int], exp.Expr],
) -> exp.Expr:
    """Convert a zone's wall clock to UTC; a time that occurs twice or never gets its later reading.

    `read` may take either reading of such a time, so it is asked for the same time a day later and a day earlier,
    which have one reading each. The offset of the day after applies if it maps back to this wall clock, which it
    always does for the later of two readings; otherwise the offset of the day before applies.

    Args:
        clock: The wall clock, as a moment in UTC.
        read: Converts the zone's wall clock to a moment.
        show: Converts a moment to the zone's wall clock.
        move: Moves a moment forward by a number of days of 24 hours.
    """
    by_day_after = move(read(move(clock.copy(), 1)), -1)
    by_day_before = move(read(move(clock.copy(), -1)), 1)
    holds = exp.EQ(this=show(by_day_after), expression=clock.copy())
    return exp.Case(ifs=[exp.If(this=holds, true=by_day_after.copy())], default=by_day_before)
