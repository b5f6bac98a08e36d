"""The online store: keys, bytes and the Redis that holds them."""
