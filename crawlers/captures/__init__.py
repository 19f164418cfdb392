"""Captures: pages and pictures that people saved in their own browser, read without running or fetching."""
