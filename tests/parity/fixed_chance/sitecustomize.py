"""Python starts with this file when its folder is on PYTHONPATH: chance falls the same way in every process.

Some of Airflow's example DAGs choose at random. Both sides of a comparison get the same dice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def choice(options: Sequence[T]) -> T:
    return options[0]


def randint(a: int, b: int) -> int:
    return min(b, a + 7)


random.choice = choice  # type: ignore[assignment]
random.randint = randint
