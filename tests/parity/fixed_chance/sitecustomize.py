"""Python starts with this file when its folder is on PYTHONPATH: chance falls the same way in every process.

Some of Airflow's example DAGs choose at random, or by the day and the time at which they run; one waits for an hour.
Both sides of a comparison get the same dice, for what looks at the calendar the same moment, and no long waits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

MOMENT = datetime(2024, 2, 6, 16, 5, 6, tzinfo=UTC)
"""A Tuesday afternoon."""

LONGEST_WAIT = timedelta(minutes=1)

WAITS_FOR_MOMENT = "airflow.providers.standard.triggers.temporal"
LOOK_AT_CALENDAR = (
    "airflow.providers.standard.operators.datetime",
    "airflow.providers.standard.operators.weekday",
    "airflow.providers.standard.sensors.weekday",
)


def choice(options: Sequence[T]) -> T:
    return options[0]


def randint(a: int, b: int) -> int:
    return min(b, a + 7)


class Stopped:
    """Airflow's module ``timezone``, with a clock that stands still."""

    def __init__(self, timezone: ModuleType) -> None:
        self._timezone = timezone

    def utcnow(self) -> datetime:
        return MOMENT

    def __getattr__(self, name: str) -> Any:
        return getattr(self._timezone, name)


def stop_clock(module: Any) -> None:
    module.timezone = Stopped(module.timezone)


def shorten_waits(module: Any) -> None:
    start = module.DateTimeTrigger.__init__

    def start_soon(trigger: Any, moment: Any = None, **arguments: Any) -> None:
        is_moment = isinstance(moment, datetime) and moment.tzinfo
        start(trigger, min(moment, datetime.now(UTC) + LONGEST_WAIT) if is_moment else moment, **arguments)

    module.DateTimeTrigger.__init__ = start_soon


random.choice = choice  # type: ignore[assignment]
random.randint = randint
if find_spec("wrapt"):  # in other interpreters there is neither this nor Airflow
    from wrapt import register_post_import_hook

    register_post_import_hook(shorten_waits, WAITS_FOR_MOMENT)
    for name in LOOK_AT_CALENDAR:
        register_post_import_hook(stop_clock, name)
