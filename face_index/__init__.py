"""Registered people and the search for their faces. No other package stores biometric data."""
