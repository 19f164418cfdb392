"""Captured pages: their text, images, frames and the facts that sites state."""
