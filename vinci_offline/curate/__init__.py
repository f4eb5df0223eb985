"""Select rows of datasets, and add relabelled ones."""
