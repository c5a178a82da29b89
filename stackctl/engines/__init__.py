"""Bridges between the reconciler and whatever runs containers; the only place that sees both sides."""
