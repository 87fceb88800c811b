"""Hostile, damaged and odd inputs of `segvit-hf convert`, made by scripts; `python -m tests.hostile` tries them."""
