"""LikenessBench: adapters of registered persons, strangers, styles and objects in the formats people share."""
