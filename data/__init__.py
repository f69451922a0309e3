"""Music on disk: pairs, latents, the stream of samples, the demo songs."""
