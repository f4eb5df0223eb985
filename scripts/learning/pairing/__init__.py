"""Parts of `parity.py`: the data, shared draws, pairs of weights, and the cases."""
