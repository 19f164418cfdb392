"""Pictures of a capture: format, perceptual hash, provenance."""
