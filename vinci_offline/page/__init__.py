"""Runs and sweeps as one page that needs no network."""
