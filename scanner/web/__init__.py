"""The web app: pages for rights holders, reviewers and operators, and the API for hubs."""
