"""The work: triage, sampling, verdicts, the scan ledger, the command line, the miniature world."""
