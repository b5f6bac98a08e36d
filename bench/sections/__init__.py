"""The sections of the bench: each returns its tables."""
