"""Locks on files that the kernel drops with their last holder, kill -9 included, and that forked children don't keep.

``flock`` locks: shared or exclusive, between processes as well as within one, never inherited by a started program
(close-on-exec). A plain ``fork`` copies the descriptor, and a child that outlives a killed parent would keep the lock:
so every child closes its copies at once, which leaves the parent's lock alone. It must not know what is being locked.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from enum import IntEnum
from pathlib import Path

POLL_INTERVAL = 0.02  # seconds between two attempts at a lock that another holds

_descriptors: set[int] = set()  # of the locks held by this process


class Kind(IntEnum):
    """Many may hold a shared lock at once; an exclusive one excludes every other."""

    SHARED = fcntl.LOCK_SH
    EXCLUSIVE = fcntl.LOCK_EX


class HeldLock:
    """A lock that is held until it is closed; a context manager that closes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock up."""
        _close(self._descriptor)


async def acquire(path: Path, kind: Kind, patience: float) -> HeldLock:
    """Take a lock.

    Args:
        path: the lock file; made when missing, and never to be removed, which would split its users in two groups.
        kind: shared or exclusive.
        patience: seconds to wait for it.

    Raises:
        TimeoutError: if others still hold it then.
    """
    descriptor = _open(path)
    try:
        async with asyncio.timeout(patience):
            while not _try(descriptor, kind):  # noqa: ASYNC110 - the event is in another process
                await asyncio.sleep(POLL_INTERVAL)
    except BaseException:
        _close(descriptor)
        raise
    return HeldLock(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock exclusively at this moment."""
    descriptor = _open(path)
    try:
        return not _try(descriptor, Kind.SHARED)
    finally:
        _close(descriptor)


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _descriptors.add(descriptor)
    return descriptor


def _try(descriptor: int, kind: Kind) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _close(descriptor: int) -> None:
    if descriptor in _descriptors:  # else: a forked child unwinds its parent's block, and the number may be another's
        _descriptors.remove(descriptor)
        os.close(descriptor)


def _close_in_child() -> None:
    while _descriptors:
        os.close(_descriptors.pop())


os.register_at_fork(after_in_child=_close_in_child)
