"""Readers of dbt's files: the project, its profile, its manifest and the results of its runs."""
