"""The SQL of pushes: the newest rows, the tables that store them, and the values for Redis."""
