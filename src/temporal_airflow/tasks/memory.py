"""How much memory processes take. It must not know what they are for."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

MEGABYTE = 1024
"""In the kernel's kilobytes."""


def proportional_memory(pid: int) -> float | None:
    """Megabytes of a process, its share of what it shares with others included; None where the kernel doesn't tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) / MEGABYTE if found else None
    return None


def children_of(pid: int) -> list[int]:
    """The processes that a process has started; none where the kernel doesn't tell."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def in_words(megabytes: list[float]) -> str:
    """Several amounts."""
    least, most = min(megabytes), max(megabytes)
    return f"{least:.0f} MB" if round(least) == round(most) else f"{least:.0f} to {most:.0f} MB"
