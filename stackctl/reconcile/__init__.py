"""Deciding: from what is wanted and what is there to a plan, and its performance. Pure but for ``apply``."""
