"""Generation: from a trained generator to audio, out of noise or out of music, at any length."""
