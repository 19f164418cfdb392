"""Builds the miniature world's weights from nothing but seeds; `python -m scanner.miniature.training`."""
