"""stackctl: bring a Compose stack up on a built-in container runtime, without Docker."""

__version__ = "0.1.0"
