"""Plain transition datasets: layout, writing, reading, checking. NumPy, h5py and pandas only."""
