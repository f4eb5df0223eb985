"""Pictures for files: returns and curves of runs, a run's animation, a dataset's overview."""
