"""Environments: make them, step them, collect and evaluate in them."""
