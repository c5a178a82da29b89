"""Registries: the distribution protocol's client side."""
