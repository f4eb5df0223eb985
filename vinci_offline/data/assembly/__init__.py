"""From the rows of any source to a dataset: their order, where episodes end, what follows what."""
