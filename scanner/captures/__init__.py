"""Captured pages and pictures on their way to a case: taken in, judged, filed."""
