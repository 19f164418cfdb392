"""Polite HTTP: budgets for each host, retries, robots.txt, and where requests may go."""
