"""Benchmarks of the point-in-time join, of the push and of serving: `make bench`, or `python -m bench`.

Every contender answers the same question on the same data in the same run. Answers are compared before anything counts,
rounds alternate between the contenders, and medians are shown.
"""
