"""RLDS folders of TensorFlow Datasets."""
