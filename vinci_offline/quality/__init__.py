"""How good a dataset is, what is wrong with it, and repairing it."""
