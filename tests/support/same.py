"""Tests that do elsewhere what a test of another module does."""

from __future__ import annotations

from types import FunctionType, ModuleType


def same_test(module: ModuleType, name: str) -> FunctionType:
    """Return a test of its own that does what another does: marks of one are not those of the other."""
    other = getattr(module, name)
    made = FunctionType(other.__code__, other.__globals__, name, other.__defaults__, other.__closure__)
    made.pytestmark = [*getattr(other, "pytestmark", ())]
    return made
