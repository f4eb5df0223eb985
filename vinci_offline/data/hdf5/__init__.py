"""Inspect, read and write HDF5 files of transitions."""
