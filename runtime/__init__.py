"""What a run stands on: the process group, checkpoints, the run folder, signals, seeds."""
