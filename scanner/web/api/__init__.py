"""The API for hubs: the upload gate, cases, and monitoring."""
