"""Nouns: frozen values shared by every room. No input, no output, no third party."""
