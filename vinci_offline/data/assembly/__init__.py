"""The way from a source's rows to a dataset: their order, the ends of episodes, next observations."""
