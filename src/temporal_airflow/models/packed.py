"""Lists that travel compressed, since most of each item is what the others say, too. It must not know of what."""

from __future__ import annotations

import zlib
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def pack(kind: TypeAdapter[T], items: T) -> bytes:
    """Compressed JSON of a list."""
    return zlib.compress(kind.dump_json(items))


def unpack(kind: TypeAdapter[T], packed: bytes) -> T:
    """The list again."""
    return kind.validate_json(zlib.decompress(packed))
