"""The transition dataset: its format, columns and episodes, HDF5 files and data frames. NumPy, h5py and pandas only."""
