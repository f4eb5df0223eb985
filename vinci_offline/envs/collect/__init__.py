"""Collection: record policies in an environment to a dataset."""
