"""The HTTP server of the daemon: routes, and the small protocols of what each needs."""
