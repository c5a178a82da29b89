"""JSON forms of values that cross a process boundary. Pure."""
