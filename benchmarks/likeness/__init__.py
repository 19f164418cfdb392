"""LikenessBench: adapters of persons, strangers, styles and objects in the formats people share."""
