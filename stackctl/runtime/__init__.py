"""Doing: containers on Linux. Knows nothing of stacks."""
