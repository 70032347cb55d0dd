"""The SDK's warnings that say nothing to a user. It must not import the SDK: pytest loads it in every project."""

from __future__ import annotations

import warnings

LATE_CANCELLATION = "Cannot find activity to cancel"
"""How the SDK's warning begins that an activity was to be cancelled which has just ended: nothing is wrong then. It is
given inside the loop that serves a worker's activities, so where warnings are errors the worker would die of it."""


def ignore_late_cancellations() -> None:
    """Keep that warning from users for as long as the process lives."""
    warnings.filterwarnings("ignore", message=LATE_CANCELLATION)
