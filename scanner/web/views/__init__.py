"""Pages, one file a kind of work; every route says who may open it."""
