"""The modules of each model that adapters are trained for, with their sizes."""
