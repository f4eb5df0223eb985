"""Choosing rows of datasets, and adding relabelled ones."""
