"""Algorithms, one file each. The registry finds them by name."""
