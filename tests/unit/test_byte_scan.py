"""The scan for secrets must find what is there: otherwise what it doesn't find means nothing."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from pathlib import Path

import pytest

import byte_scan

VALUE = "b7c1e9aa03f2d4"


@pytest.mark.parametrize(
    "data",
    [
        f"text {VALUE} text".encode(),
        base64.b64encode(f"x{VALUE}yz".encode()),
        zlib.compress(VALUE.encode()),
        gzip.compress(VALUE.encode()),
        json.dumps({"dag": base64.b64encode(zlib.compress(json.dumps({"a": VALUE}).encode())).decode()}).encode(),
        base64.urlsafe_b64encode(b"\xff\xfe" + VALUE.encode()),
    ],
    ids=["plain", "base64", "zlib", "gzip", "base64 of zlib in JSON", "URL-safe base64"],
)
def test_a_wrapped_value_is_found(data: bytes) -> None:
    assert byte_scan.contains(data, VALUE)
    assert not byte_scan.contains(data, "something else")


@pytest.mark.parametrize("offset", range(6))
def test_a_value_in_base64_is_found_wherever_it_begins(offset: int) -> None:
    data = b"\x01" + base64.b64encode(b"?" * offset + VALUE.encode() + b"!" * offset) + b"\x02"
    assert byte_scan.contains_encoded(data, VALUE)
    assert not byte_scan.contains_encoded(data, "something else, longer")


def test_a_value_in_a_database_is_found(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a blob, b text)")
        connection.execute("insert into t values (?, null)", (b"x" * 5000 + VALUE.encode() + b"x" * 5000,))
    assert [table for table, value in byte_scan.rows(path) if byte_scan.contains_encoded(value, VALUE)] == ["t"]
