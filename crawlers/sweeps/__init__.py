"""Sweeps over hubs: crawl.db, what is listed, what changed, and the files that are fetched."""
