"""Scans: from listed files to verdicts, on this machine or on a cluster, kept in scans.db."""
