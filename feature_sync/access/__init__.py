"""Who may read and write what: the users of Redis, and the rights in the warehouse."""
