"""Training from stored transitions."""
