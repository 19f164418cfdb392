"""Faces in pictures: packs of networks, detection, alignment, embeddings, quality."""
