"""Text to Stack: reading, merging, checking and decoding stack files."""
