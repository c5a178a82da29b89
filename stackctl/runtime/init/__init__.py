"""What runs in a container's first process between clone3 and execve. Imports ``runtime.kernel`` only."""
