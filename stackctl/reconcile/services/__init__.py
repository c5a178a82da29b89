"""Deciding for engines whose grain is the service: they run the containers of a service by themselves."""
