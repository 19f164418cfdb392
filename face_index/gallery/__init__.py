"""The searchable gallery: exact and FAISS search, templates, calibration and accuracy measures."""
