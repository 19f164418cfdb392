"""Faces in images: face packs, detection, alignment, embeddings and quality."""
