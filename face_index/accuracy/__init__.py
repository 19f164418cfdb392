"""How often a face pack errs: labelled photos in, a report in ISO/IEC 19795-1's terms out."""
