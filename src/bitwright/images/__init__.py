"""From image files to the pixels, or the bits, that a model reads: sources, decoding, preprocessing, encoders."""
