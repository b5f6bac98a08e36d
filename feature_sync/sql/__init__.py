"""Queries as functions from definitions to sqlglot expressions, and the one module that renders them as text."""
