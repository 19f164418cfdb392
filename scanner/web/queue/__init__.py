"""Jobs and messages in web.db, and the worker that takes them."""
