"""What can be wrong with a dataset's values, one kind a file; none holds more than blocks of rows in memory."""
