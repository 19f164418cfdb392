"""Benchmarks of the fingerprints of weights."""
