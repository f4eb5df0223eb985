"""Listeners to a training run: the protocol, and CSV, TensorBoard, terminal progress and portraits."""
