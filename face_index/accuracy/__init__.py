"""Measuring the error rates of a face pack on labelled photos, in the terms of ISO/IEC 19795-1."""
