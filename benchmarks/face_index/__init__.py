"""Benchmarks of the face index; each prints both sides of its ratios in one run."""
