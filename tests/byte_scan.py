"""Finds a value in bytes, however deep it is wrapped: base64, compression, escapes, and one in another."""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
DEEPEST = 4
"""Wrappings that are taken off."""


def contains(data: bytes, value: str) -> bool:
    """Whether bytes hold a value, wrapped or not."""
    return any(value.encode() in layer for layer in unfold(data))


def unfold(data: bytes, depth: int = DEEPEST) -> Iterator[bytes]:
    """The bytes, then everything that is wrapped in them."""
    yield data
    if depth == 0:
        return
    for inner in _inflated(data):
        yield from unfold(inner, depth - 1)
    for match in BASE64.finditer(data):
        for inner in _decoded(match[0]):
            yield from unfold(inner, depth - 1)


def contains_encoded(data: bytes, value: str) -> bool:
    """Whether bytes hold a value as it is, or as part of base64 text: quick enough for whole databases."""
    return any(form in data for form in (value.encode(), *_base64_forms(value.encode())))


def rows(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of an SQLite database with its table: a value may lie scattered over the pages of the file."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                yield from ((table, _as_bytes(value)) for value in row if value is not None)


def files(folders: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Every file below some folders."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()


def _inflated(data: bytes) -> Iterator[bytes]:
    for bits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16):
        try:
            yield zlib.decompress(data, bits)
        except zlib.error:
            continue


def _decoded(text: bytes) -> Iterator[bytes]:
    padded = text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
    for altchars in (b"+/", b"-_"):
        try:
            yield base64.b64decode(padded, altchars=altchars, validate=True)
        except binascii.Error:
            continue


def _base64_forms(value: bytes) -> Iterator[bytes]:
    """The middle of a value in base64, for each place it can begin at."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value)
        yield encoded[4 if offset else 0 : -4]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
