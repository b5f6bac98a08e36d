"""The SQL of training sets: spines, point-in-time joins and their strategies."""
