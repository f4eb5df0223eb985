"""HDF5 files of transitions: inspecting, reading and writing them."""
