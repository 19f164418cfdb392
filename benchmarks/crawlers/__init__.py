"""Figures of the crawlers: see RESULTS.md."""
