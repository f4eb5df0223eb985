"""Formats that are one HDF5 file: D4RL, d3rlpy, robomimic."""
