"""Training of codecs' decoders as a kind of data."""
