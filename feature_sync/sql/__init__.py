"""Queries as functions from definitions to sqlglot expressions, and the one place that makes text of them."""
