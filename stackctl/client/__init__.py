"""The HTTP client of the daemon. Standard library only, and little of that: the CLI pays for every import."""
