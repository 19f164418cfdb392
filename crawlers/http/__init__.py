"""HTTP with rate limits for each host, retries, robots.txt and checks of destinations."""
