"""Cases: filed from verdicts, kept at a desk where people decide, made again from their evidence."""
