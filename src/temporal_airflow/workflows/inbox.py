"""What has happened to a run and isn't told to its engine yet. It must not know what any of it means."""

from __future__ import annotations

from collections.abc import Iterator

from temporal_airflow.engine.events import Event


class Inbox:
    """Events in the order in which they happened."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def __bool__(self) -> bool:
        return bool(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def put(self, event: Event) -> None:
        """Something has happened."""
        self._events.append(event)

    def take(self, most: int) -> list[Event]:
        """The oldest of what is here, which then isn't any more.

        Args:
            most: how many at most.
        """
        events, self._events = self._events[:most], self._events[most:]
        return events
