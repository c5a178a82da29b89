"""The same work through us and through a peer, as ratios of one run. ``python -m benchmarks --help``."""
