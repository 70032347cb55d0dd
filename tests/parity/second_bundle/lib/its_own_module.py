"""A module that DAGs of this bundle share."""

from __future__ import annotations

from pathlib import Path

NAME = "second"


def relative_file(file: str) -> str:
    """A file by its place in the bundle."""
    return str(Path(file).relative_to(Path(__file__).parent.parent))
