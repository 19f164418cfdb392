"""Evidence: bundles, seals, timestamps, revocations, and the interchange format."""
