"""Files from outside, read within bounds: Arrow, HDF5, images, text, folders."""
