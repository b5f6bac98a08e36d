"""Streams: messages of a topic become rows of a feature view in Redis, before the warehouse has them."""
