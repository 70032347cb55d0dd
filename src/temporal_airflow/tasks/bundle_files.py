"""Which files of a DAG bundle this process has imported, and whether they are still what they were.

It must not know why somebody asks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

Signature = tuple[int, int]
"""Modification time in nanoseconds and size; what tells one content of a file from another."""

Files = dict[str, Signature]
"""By path."""

GONE: Signature = (0, -1)


class ImportedFiles:
    """The imported files of one bundle, found as they are imported: each is looked at once."""

    def __init__(self, bundle_path: str) -> None:
        self.bundle_path = bundle_path
        self.files: Files = {}
        self._known: set[str] = set()

    def update(self) -> Files:
        """What came in since the last look."""
        names = set(sys.modules)
        paths = {_file_of(name) for name in names - self._known}
        self._known = names
        found = {
            path: signature(path) for path in paths if _is_inside(path, self.bundle_path) and path not in self.files
        }
        self.files |= found
        return found


def signature(name: str) -> Signature:
    """Of a file; for a module in an archive that of the archive."""
    path = Path(name)
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        return (status.st_mtime_ns, status.st_size) if place.is_file() else GONE
    return GONE


def unchanged(files: Mapping[str, Signature]) -> bool:
    """Whether all files are as they were."""
    return all(signature(name) == before for name, before in files.items())


def newer(files: Mapping[str, Signature], when: int) -> bool:
    """Whether one of the files has changed at or after a time (nanoseconds since the epoch), or is gone."""
    return any(modified >= when or size < 0 for modified, size in files.values())


def _file_of(module: str) -> str:
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
