"""Fingerprints of weights: which files hold copies, mixtures or other epochs of which others."""
