"""Benchmarks of the point-in-time join: `python -m bench`, or `make bench`.

Every contender answers the same question on the same data in the same run; the answers are compared before a clock is
started, rounds alternate between the contenders, and medians count.
"""
