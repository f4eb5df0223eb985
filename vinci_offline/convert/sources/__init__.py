"""Readers of untrusted files: Arrow, HDF5, images, text, folders; and the spool for their rows."""
