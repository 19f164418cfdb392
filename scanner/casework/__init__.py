"""Cases: filing, review, export, and reproduction from evidence."""
