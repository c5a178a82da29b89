"""Maps of sparse files: which parts of a file an archive holds.

Source: GNU tar manual, "Storing Sparse Files": the old format and PAX 0.0, 0.1 and 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from stackctl.images.limits import MAX_SPARSE_PARTS, MAX_TAR_BYTES
from stackctl.images.pax import corrupt, decimal, number

Parts: TypeAlias = tuple[tuple[int, int], ...]
"""(offset, size) of each part held, in order."""

_BLOCK: Final = 512
_OLD_AT: Final = 386
_OLD_IS_EXTENDED: Final = 482
_OLD_SIZE_AT: Final = 483
_PAIR: Final = 24
_EXTENSION_PAIRS: Final = 21
_SPARSE_PREFIX: Final = b"GNU.sparse."


def old_map(block: bytes, read_block: Callable[[], bytes]) -> tuple[Parts, int]:
    """Return the map and real size in a header of type S; ``read_block`` reads its extensions."""
    parts = _pairs(block[_OLD_AT : _OLD_AT + 4 * _PAIR])
    size = number(block[_OLD_SIZE_AT : _OLD_SIZE_AT + 12])
    is_extended = block[_OLD_IS_EXTENDED]
    while is_extended:
        block = read_block()
        parts += _pairs(block[: _EXTENSION_PAIRS * _PAIR])
        is_extended = block[_EXTENSION_PAIRS * _PAIR]
        if len(parts) > MAX_SPARSE_PARTS:
            raise corrupt("a sparse file has too many parts")
    return tuple(parts), size


def _pairs(area: bytes) -> list[tuple[int, int]]:
    found = []
    for at in range(0, len(area), _PAIR):
        if area[at] == 0:
            break
        found.append((number(area[at : at + 12]), number(area[at + 12 : at + _PAIR])))
    return found


def is_inline(pax: Mapping[bytes, bytes]) -> bool:
    """Whether the map precedes the content (PAX 1.0)."""
    return pax.get(_SPARSE_PREFIX + b"major") == b"1" and pax.get(_SPARSE_PREFIX + b"minor") == b"0"


def real_size(pax: Mapping[bytes, bytes]) -> int | None:
    """Return the size with holes of a PAX sparse file, None when the entry is not sparse."""
    for key in (_SPARSE_PREFIX + b"realsize", _SPARSE_PREFIX + b"size"):
        if key in pax:
            return decimal(pax[key], "a sparse size")
    return None


def header_map(records: Iterable[tuple[bytes, bytes]]) -> Parts:
    """Return the map of PAX 0.0 (records in order) or 0.1 (one record)."""
    numbers: list[int] = []
    for key, value in records:
        if key == _SPARSE_PREFIX + b"map":
            numbers = [decimal(text, "a sparse map") for text in value.split(b",")] if value else []
        elif key in (_SPARSE_PREFIX + b"offset", _SPARSE_PREFIX + b"numbytes"):
            numbers.append(decimal(value, "a sparse map"))
    return _paired(numbers)


def inline_map(read_block: Callable[[], bytes]) -> tuple[Parts, int]:
    """Read the map of PAX 1.0 block by block; return it and the bytes it took."""
    text = read_block()
    taken = _BLOCK
    if b"\n" not in text:
        raise corrupt("a sparse map has no length")
    count = decimal(text.partition(b"\n")[0], "a sparse map's length")
    if count > MAX_SPARSE_PARTS:
        raise corrupt("a sparse file has too many parts")
    blocks = [text]
    lines = text.count(b"\n")
    while lines < 1 + 2 * count:
        block = read_block()
        taken += _BLOCK
        lines += block.count(b"\n")
        blocks.append(block)
        if taken > _BLOCK + 42 * count:
            raise corrupt("a sparse map is too long")
    numbers = b"".join(blocks).split(b"\n")[1 : 1 + 2 * count]
    return _paired([decimal(item, "a sparse map") for item in numbers]), taken


def _paired(numbers: list[int]) -> Parts:
    if len(numbers) % 2 or len(numbers) > 2 * MAX_SPARSE_PARTS:
        raise corrupt("a sparse map is malformed")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def check(parts: Parts, *, size: int, stored: int) -> None:
    """Raise ImageError unless ``parts`` are in order, inside ``size`` and ``stored`` bytes in all."""
    end = 0
    for offset, length in parts:
        if offset < end or length < 0:
            raise corrupt("the parts of a sparse file overlap")
        end = offset + length
    if end > size or size > MAX_TAR_BYTES or sum(length for _, length in parts) != stored:
        raise corrupt("a sparse file's map does not fit its size")
