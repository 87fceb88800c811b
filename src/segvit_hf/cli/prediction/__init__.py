"""The parts of `segvit-hf predict`: what it reads, how it segments, what it writes."""
