"""Arrays under any names: in an HDF5 file or a NumPy archive, flat, episode by episode, or padded."""
