"""How long messages to a pool gather: so that many are worth one letter and one decision, and nobody notices.

A slot changes hands once in as many seconds as there are slots in use for each message a second; of that time it may
stand idle a small share. It must not know what messages say.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SHARE = 0.1
"""Of the time in which a slot changes hands, at most; a message waits for up to two pauses, one of the post, one of the
pool."""

LONGEST = timedelta(seconds=0.4)
MEMORY = timedelta(seconds=1)
"""Over which the rate of messages is averaged."""


class Pace:
    """How fast messages come."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._came = 0
        self._looked_at: datetime | None = None

    def message_came(self) -> None:
        """Take note of a message."""
        self._came += 1

    def pause(self, now: datetime, in_use: int) -> timedelta:
        """How long to wait for more messages; nothing if hardly another one would come.

        Args:
            now: workflow time.
            in_use: slots.
        """
        self._note(now)
        if not self._rate:
            return timedelta()
        pause = min(timedelta(seconds=SHARE * in_use / self._rate), LONGEST)
        return pause if pause.total_seconds() * self._rate >= 1 else timedelta()

    def _note(self, now: datetime) -> None:
        if self._looked_at is not None and (past := now - self._looked_at):
            weight = min(past / MEMORY, 1.0)
            self._rate += weight * (self._came / past.total_seconds() - self._rate)
            self._came = 0
        self._looked_at = now
