"""Reasons: why a verdict was reached or a file failed, as a code and values, in two languages."""
