"""Pages, one module per kind of work; every route names the permission that it requires."""
