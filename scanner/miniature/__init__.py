"""The synthetic world that ships with the program: drawn persons, models, adapters and hubs."""
