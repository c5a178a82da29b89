"""The only system calls. Thin wrappers that raise OSError with what failed; no policy."""
