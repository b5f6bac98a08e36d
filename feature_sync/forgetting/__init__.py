"""Where the values of one entity still are, and how they go away."""
