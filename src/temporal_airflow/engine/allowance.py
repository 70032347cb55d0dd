"""How much one step of the engine may do: an activation of a workflow must not take long, however large its run is.

It must not know what is done, nor measure time: a replay must stop where the first run did.
"""

from __future__ import annotations

from temporal_airflow.models import RunLimits


class Allowance:
    """What is left of one step: work (events, evaluations, new rows, starts), and bytes that starts send out."""

    def __init__(self, limits: RunLimits) -> None:
        self.work = limits.step_work
        self._bytes = limits.step_bytes

    @property
    def used_up(self) -> bool:
        """Whether the rest is for another step."""
        return self.work <= 0 or self._bytes <= 0

    def spend(self, work: int = 1, size: int = 0) -> None:
        """Take note of something done; the last one may go beyond what is left.

        Args:
            work: how many things.
            size: bytes sent out.
        """
        self.work -= work
        self._bytes -= size
