"""Build the miniature world's weights from seeds: `python -m scanner.miniature.training`."""
