"""Makes datasets of pairs from recordings or synthesised music."""
