"""Cases: filed from verdicts, reviewed by people, exported, and reproduced from their evidence."""
