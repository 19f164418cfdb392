"""The algorithms of adapters, one module each; registry.py lists them."""
