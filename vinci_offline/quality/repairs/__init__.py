"""Repairing a dataset: what is read of a damaged file, how rows are mended, and the account of it."""
