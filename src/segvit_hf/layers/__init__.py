"""Layers that know no configuration: attention, feed-forward, drop path, convolution, resizes, position embeddings."""
