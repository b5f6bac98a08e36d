"""Lets `python -m feature_sync` do what `feature-sync` does."""

from feature_sync.cli import main

main()
