"""Serving: reads feature vectors from the online store. Needs no dbt, SQL or warehouse."""
