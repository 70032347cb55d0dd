"""Ties between processes: die with the parent, adopt orphans, find and kill everything below a process.

Standard library only: the guardian runs on it. It must not know Airflow, the messages, or who is whose parent and why.
On macOS there is neither a parent-death signal nor a subreaper: there a descendant that left the tree isn't found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

DEATH_POLL = 0.002
"""Seconds between two looks at processes that were killed."""

KILL_PATIENCE = 5.0
"""Seconds after which a process that doesn't die (uninterruptible I/O) is left to the kernel."""

ZOMBIE = "Z"


class Process(NamedTuple):
    """One line of the process table."""

    pid: int
    parent: int
    state: str


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone; its thread must have forked this process.

    Args:
        parent: pid of the expected parent; if it is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the new parent of descendants whose parent died, in whatever session they are."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int, *, spare: int | None = None) -> list[Process]:
    """Everything below a process, parents before their children; zombies are dead and not listed.

    Args:
        pid: the process.
        spare: a descendant to leave out, with everything below it.
    """
    children: dict[int, list[Process]] = {}
    for process in _process_table():  # one look for all: a process forked between two looks would lose its place
        if process.pid != spare:
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    level = children.get(pid, [])
    while level:
        found += level
        level = [child for process in level for child in children.get(process.pid, [])]
    return [process for process in found if process.state != ZOMBIE]


def parent_of(pid: int) -> int | None:
    """The parent of a living process, None if it is dead."""
    process = _read_process(pid)
    return process.parent if process and process.state != ZOMBIE else None


def kill_descendants(pid: int, *, spare: int | None = None) -> list[int]:
    """Kill everything below a process, and what it forks meanwhile, until nothing is left.

    Args:
        pid: the process whose descendants go; it stays.
        spare: a descendant that stays, with everything below it.

    Returns:
        Pids that were killed.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_PATIENCE
    while victims := descendants(pid, spare=spare):
        for victim in victims:
            send_signal(victim.pid, signal.SIGKILL)
            killed.add(victim.pid)
        if time.monotonic() > deadline:
            break
        reap_children(spare)
        time.sleep(DEATH_POLL)
    reap_children(spare)
    return sorted(killed)


def kill_tree(pid: int) -> None:
    """Kill a process and everything below it, and see it dead: it is stopped first, so that it can't fork."""
    send_signal(pid, signal.SIGSTOP)
    kill_descendants(pid)
    send_signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + KILL_PATIENCE
    while parent_of(pid) is not None and time.monotonic() < deadline:
        time.sleep(DEATH_POLL)


def thread_count() -> int:
    """Threads of this process; where the kernel doesn't tell, those that Python knows."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def send_signal(pid: int, number: signal.Signals) -> None:
    """Signal a process; one that is gone already is what the sender wants."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def reap_children(spare: int | None = None) -> None:
    """Collect the exit status of dead children, adopted ones included.

    Args:
        spare: a child whose exit status somebody else waits for.
    """
    with contextlib.suppress(ChildProcessError):
        if spare is None:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        else:
            for process in _process_table():
                if process.parent == os.getpid() and process.pid != spare:
                    os.waitpid(process.pid, os.WNOHANG)


def _process_table() -> list[Process]:
    if not Path("/proc/self/stat").exists():
        return _process_table_by_ps()
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  # the fastest listing
    return [process for process in map(_read_process, pids) if process]


def _read_process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return Process(pid, int(parent), state)


def _process_table_by_ps() -> list[Process]:
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    return [Process(int(pid), int(parent), state[0]) for pid, parent, state in rows]
