"""PostgreSQL through psycopg 3: results stream in the binary protocol, in chunks that the server sends ahead."""
