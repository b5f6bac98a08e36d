"""Bridges to model libraries. Each module is imported by name, and only then is its library."""
