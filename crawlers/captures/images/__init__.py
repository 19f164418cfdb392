"""Pictures of captures: format, perceptual hash, provenance."""
