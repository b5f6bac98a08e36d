"""Serving: reads feature vectors from the online store. Nothing here needs dbt, SQL or a warehouse."""
