"""A Docker Swarm behind the Engine protocol: its grain is the service."""
