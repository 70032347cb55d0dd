"""Waiting for conditions: with a description of what should happen, and an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 60.0
"""Seconds; far more than anything should take."""

LOOK = 0.05

T = TypeVar("T")


async def until(
    description: str, condition: Callable[[], object | Awaitable[object]], patience: float = PATIENCE
) -> None:
    """Wait until a condition holds; fails with its description."""
    deadline = time.monotonic() + patience
    while True:
        holds = condition()
        if isinstance(holds, Awaitable):
            holds = await holds
        if holds:
            return
        assert time.monotonic() < deadline, f"not within {patience} s: {description}"
        await asyncio.sleep(LOOK)


def eventually(description: str, condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """The first true value of a condition, for tests without an event loop; fails with the description."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {patience} s: {description}"
        time.sleep(LOOK)
    return value
