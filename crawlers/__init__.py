"""What is on the model hubs: listings, headers and checkpoints. Knows nothing of faces."""
