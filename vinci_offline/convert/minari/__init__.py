"""Minari's dataset folders."""
