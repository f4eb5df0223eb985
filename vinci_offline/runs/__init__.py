"""Files of a training run: its directory and its checkpoints."""
