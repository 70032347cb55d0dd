"""CPU time and memory of trees of processes, of those that have ended too. It must not know what they do."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Tree:
    """A process and all below it.

    A process that has ended is counted with the one that waited for it, so nothing of a tree is lost as long as
    everybody in it waits for its children.
    """

    pid: int

    def processes(self) -> list[psutil.Process]:
        """Those that live."""
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of CPU since the first process began."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def cpu_by_process(self) -> dict[str, float]:
        """Seconds of CPU of each that lives; what ended is with the one that waited for it, as ``... (ended)``."""
        found: dict[str, float] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[str(process.pid)] = times.user + times.system
                found[f"{process.pid} (ended)"] = times.children_user + times.children_system
        return found

    def pss(self) -> float:
        """Megabytes, with shared pages shared out; only root may look at processes that hide, as tasks do."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                total += process.memory_full_info().pss
        return total / 1e6
