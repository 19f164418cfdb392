"""File formats of captures: HTML, MHTML, WARC, WACZ, HAR, PDF and pictures."""
