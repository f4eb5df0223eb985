"""Contenders of the training benchmarks: one module each, run in a process of its own."""
