"""From recordings or made-up music to a dataset of pairs."""
