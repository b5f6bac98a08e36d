"""Spark through the client of Spark Connect, whose results come as Arrow; its server may be Spark, or speak like it."""

import warnings

with warnings.catch_warnings():  # of pandas 3, through which the client converts nothing here
    warnings.simplefilter("ignore", FutureWarning)
    import pyspark.sql.connect.session  # noqa: F401
