"""Curriculum: what the run asks of the networks at a given count of epochs or samples, as pure functions."""
