"""What a run shows: figures, pictures, verdicts, measures of quality."""
