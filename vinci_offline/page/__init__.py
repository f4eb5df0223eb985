"""Runs, sweeps and datasets as one page that needs no network."""
