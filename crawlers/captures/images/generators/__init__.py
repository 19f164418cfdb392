"""Parameters that image generators write into their pictures, in the format of each generator."""
