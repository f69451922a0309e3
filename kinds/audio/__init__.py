"""Audio latents as a kind of data: files, pairs, the latent cache, the decoder, features for evaluation."""
