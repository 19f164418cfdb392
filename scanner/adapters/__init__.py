"""Adapter formats: recognising them from tensor names and shapes, loading them faithfully."""
