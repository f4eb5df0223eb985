"""From a dataset to the batches that losses see: columns on the device, rows, windows, goals.

Importing this package does not import Keras, so agents can read the names of columns cheaply.
"""
