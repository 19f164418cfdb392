"""Sweeps over hubs: crawl.db with its listings and their changes, and the fetching of files."""
