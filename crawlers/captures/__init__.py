"""Captures: pages and pictures that people saved in a browser; nothing is run or fetched."""
