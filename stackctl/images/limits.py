"""How much of anything an archive may hold. An archive that holds more is refused, not truncated."""

from __future__ import annotations

from typing import Final

PIECE_BYTES: Final = 256 * 1024
"""Bytes handled at a time; what bounds the memory of reading, however large the archive."""

MAX_ENTRIES: Final = 4_000_000
"""Entries of one tar."""

MAX_FOLDERS: Final = 500_000
"""Folders of one layer: each is remembered until the end."""

MAX_REPLACED_FOLDERS: Final = 1000
"""Folders of one layer replaced by a later entry: each costs a look at all folders."""

MAX_TAR_BYTES: Final = 512 * 1024**3
"""Bytes of one tar, uncompressed; also the largest file in it, holes included."""

MAX_NAME_BYTES: Final = 4095
"""Bytes of one path, as the kernel has it (PATH_MAX with its NUL)."""

MAX_DEPTH: Final = 200
"""Folders in one path: removing a tree takes a descriptor for each."""

MAX_EXTENSION_BYTES: Final = 1024 * 1024
"""Bytes of one PAX or GNU extension header."""

MAX_XATTRS: Final = 64
"""Extended attributes of one entry."""

MAX_SPARSE_PARTS: Final = 100_000
"""Parts of one sparse file."""

MAX_MEMBERS: Final = 20_000
"""Files of one image archive."""

MAX_JSON_BYTES: Final = 8 * 1024**2
"""Bytes of one manifest, index or configuration."""

MAX_INDEX_DEPTH: Final = 4
"""Indexes inside indexes."""

MAX_MANIFESTS: Final = 1000
"""Manifests looked at in one archive."""

MAX_LAYERS: Final = 256
"""Layers of one image; Docker makes at most 127, the kernel stacks at most 500."""

MAX_IMAGES: Final = 1000
"""Images of one archive."""
