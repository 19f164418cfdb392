"""What image generators write into their pictures: where it lies, how each of them writes it, and what it says."""
