"""Whom the samples show: faces, clusters, search and verdict. Loads no image model."""
