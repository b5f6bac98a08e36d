"""The tests are the manual: their names say what holds."""
