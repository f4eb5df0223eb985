"""Checks of a dataset's values, one kind of fault a file. None holds more than blocks of rows in memory."""
