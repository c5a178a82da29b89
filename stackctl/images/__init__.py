"""Doing, content: the image store, what comes into it, and how layers get onto disk."""
