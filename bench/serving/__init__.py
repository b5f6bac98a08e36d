"""What the sections about serving share: the data, the contenders, and clocks for short requests."""
