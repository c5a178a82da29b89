"""Trees of files, to be compared."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def everything(folder: Path) -> dict[str, object]:
    """Return all that can be seen of a tree, but for times of access."""
    found: dict[str, object] = {}
    first: dict[int, str] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        seen, name = path.lstat(), str(path.relative_to(folder))
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        is_file = stat.S_ISREG(seen.st_mode)
        content = path.read_bytes() if is_file else os.readlink(path) if path.is_symlink() else b""
        link = first.setdefault(seen.st_ino, name)
        what = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_rdev, seen.st_nlink if is_file else 0)
        found[name] = (*what, link, content, attributes)
    return found
