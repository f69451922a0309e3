"""The two updates, and what a run does around them. No kind of data, network or objective is known here by name."""
