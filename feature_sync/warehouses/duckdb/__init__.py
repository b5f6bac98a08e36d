"""DuckDB: a file beside the project. Many processes share it for reading; one that writes has it to itself."""
