"""Cases: the record, cases.db, reviews, and which listings belong to one case."""
