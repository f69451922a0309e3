"""The parts of a training step: composes models, losses and curriculum for the worker's loop."""
