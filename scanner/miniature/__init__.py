"""A synthetic world that ships with the program: drawn persons, a face pack, a base model, a hub."""
