"""Makes forks of this process cheap; called once, when everything is imported.

A fork copies the page tables of the whole process, and the end of the fork takes them down again: with huge pages that
is a five-hundredth of the entries. What is copied of the memory itself stays as it was, page by page.

Standard library only. It must not know what is forked.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

MADV_COLLAPSE = 25
"""Since Linux 6.1; older kernels refuse it, and forks cost what they cost."""

HUGE_PAGE = 2 * 1024 * 1024
"""Bytes; where the machine's huge pages are larger, the kernel refuses."""


def prepare() -> None:
    """Leave the collector no work in forks, and the kernel little."""
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        _collapse_memory()


def _collapse_memory() -> None:
    madvise = ctypes.CDLL(None).madvise
    for address in _huge_pages():
        madvise(ctypes.c_void_p(address), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)  # a refusal costs nothing


def _huge_pages() -> Iterator[int]:
    """Addresses of this process's own writable memory where a whole huge page fits."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, _offset, _device, inode, *name = line.split(maxsplit=5)
        if inode == "0" and permissions.startswith("rw") and name[:1] != ["[stack]"]:
            start, end = (int(address, 16) for address in addresses.split("-"))
            yield from range(-(-start // HUGE_PAGE) * HUGE_PAGE, end // HUGE_PAGE * HUGE_PAGE, HUGE_PAGE)
