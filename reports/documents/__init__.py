"""Documents: reports of cases and scans as HTML and PDF, with plots and translations."""
