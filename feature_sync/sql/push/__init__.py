"""The SQL of pushes: the newest rows, the tables that remember them, and what Redis is to hold."""
