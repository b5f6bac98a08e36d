"""The online store in Redis, and in Valkey, which speaks the same protocol: one server."""
