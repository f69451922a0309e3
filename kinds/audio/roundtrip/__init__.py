"""What a codec loses: recordings encoded and decoded, measured by distances and by the rulers of evaluation."""
