"""Captured pages and pictures: intake, search, release by a second person, and cases."""
