"""What a training run leaves behind: its directory and its checkpoints."""
