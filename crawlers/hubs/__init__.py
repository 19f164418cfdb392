"""Model hubs: one file for each, and the registry that names them."""
