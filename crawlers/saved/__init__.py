"""Saved pages: captures that people made in their own browser, read without running or fetching anything."""
