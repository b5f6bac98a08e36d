"""DuckDB: a file beside the project. Any number of commands share it for reading; one that writes has it alone."""
