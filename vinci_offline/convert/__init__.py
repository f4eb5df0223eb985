"""Datasets of other tools, both ways: one format a file, families of formats in rooms of their own."""
