"""Images: content-addressed blobs, extracted layers, names, archives, and the built-in image ``host``."""
