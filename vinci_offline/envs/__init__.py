"""Environments: making them, acting in them, recording what happens."""
