"""Whether the machine has cores to spare. It must not know what for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

STATISTICS = Path("/proc/stat")
IDLE, WAITING_FOR_DISKS = 3, 4
"""Columns of the kernel's statistics."""

WINDOW = 0.25
"""Seconds over which cores are looked at: the kernel counts in hundredths, and in one of them any core may be idle."""

STALE = 1.0
"""Seconds after which the last look says nothing about what goes on now."""


class IdleCores:
    """Looks at what the cores do, over a window that has just passed."""

    def __init__(self, ticks: Callable[[], tuple[int, int]] | None = None, clock: Callable[[], float] = time.monotonic):
        """Look for the first time.

        Args:
            ticks: tells the idle ones and all of them until now; the kernel's statistics by default.
            clock: seconds.
        """
        self._ticks = ticks or _ticks
        self._clock = clock
        self._look()

    def share(self) -> float:
        """The part of the machine's time that nobody used; 0 until that is known, 1 where the kernel doesn't tell."""
        passed = self._clock() - self._since
        if passed > STALE:
            self._look()
        elif passed >= WINDOW:
            idle, everything = self._idle, self._all
            self._look()
            more = self._all - everything
            self._share = (self._idle - idle) / more if more else 1.0
        return self._share

    def _look(self) -> None:
        self._since = self._clock()
        self._idle, self._all = self._ticks()
        self._share = 0.0


def _ticks() -> tuple[int, int]:
    if not STATISTICS.exists():
        return (0, 0)
    columns = [int(ticks) for ticks in STATISTICS.read_text().split("\n", 1)[0].split()[1:9]]
    return columns[IDLE] + columns[WAITING_FOR_DISKS], sum(columns)
