"""What a case is and every form it takes. Needs no GPU, no hub and no face index."""
