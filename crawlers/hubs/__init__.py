"""Model hubs: one module for each, and the registry that lists them."""
