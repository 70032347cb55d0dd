"""What a workflow ``keep_airflow_state`` keeps, as a plain object: values by key, and a bounded log of asset events.

Deterministic, and without Temporal: the workflow around it makes changes durable. It must not know what the values are.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterable

from temporal_airflow.models import (
    AssetEventRecord,
    EventQuestion,
    KeptState,
    StateChange,
    ValueAnswer,
    ValueQuestion,
)

MOST_VALUE_BYTES = 1024 * 1024
"""Of all values together: with the events they must fit into one message of 2 MB when the workflow continues."""

MOST_EVENT_BYTES = 512 * 1024
MOST_EVENTS = 1000


class StateFullError(Exception):
    """There is no room for a value."""


class KeptValues:
    """Values and events of one place."""

    def __init__(self, state: KeptState) -> None:
        self._values = dict(state.values)
        self._events = list(state.events)
        self._keys = {event.key for event in self._events}
        self._event_bytes = sum(map(_size_of_event, self._events))
        self._dropped = state.dropped
        self._changes_per_run = state.changes_per_run

    def state(self) -> KeptState:
        """Everything, to go on with."""
        return KeptState(
            values=self._values,
            events=tuple(self._events),
            dropped=self._dropped,
            changes_per_run=self._changes_per_run,
        )

    def check(self, change: StateChange) -> None:
        """Find out whether there is room for a change.

        Raises:
            StateFullError: if there is none.
        """
        size = _size_of_values(self._changed_values(change))
        if any(value is not None for value in change.values.values()) and size > MOST_VALUE_BYTES:
            raise StateFullError(
                f"There is no room for {', '.join(map(repr, sorted(change.values)))}: all values kept in one place may "
                f"have {MOST_VALUE_BYTES:,} bytes, these would have {size:,}. Delete some, or keep large ones in "
                "object storage and their path here."
            )

    def apply(self, change: StateChange) -> None:
        """Carry out a change that was checked."""
        self._values = self._changed_values(change)
        for event in change.events:
            self._add(event)
        self._make_room()

    def values(self, question: ValueQuestion) -> ValueAnswer:
        """One value, or a page of keys."""
        if question.key is not None:
            return ValueAnswer(value=self._values.get(question.key))
        keys = sorted(key for key in self._values if key.startswith(question.prefix))
        return ValueAnswer(keys=tuple(keys[question.offset : question.offset + question.limit]), total=len(keys))

    def events(self, question: EventQuestion) -> tuple[AssetEventRecord, ...]:
        """Events of a time range, by time."""
        found = [
            event
            for event in self._events
            if (question.after is None or event.timestamp >= question.after)
            and (question.before is None or event.timestamp <= question.before)
        ]
        if not question.ascending:
            found.reverse()
        return tuple(found[: question.limit or None])

    def _changed_values(self, change: StateChange) -> dict[str, str]:
        values = {**({} if change.clear else self._values), **change.values}
        return {key: value for key, value in values.items() if value is not None}

    def _add(self, event: AssetEventRecord) -> None:
        """Add an event, unless it is here or was dropped: whatever is older than a dropped one would be dropped too."""
        if event.key in self._keys or event.id <= self._dropped:
            return
        insort(self._events, event, key=lambda each: each.id)
        self._keys.add(event.key)
        self._event_bytes += _size_of_event(event)

    def _make_room(self) -> None:
        while len(self._events) > MOST_EVENTS or self._event_bytes > MOST_EVENT_BYTES:
            oldest = self._events.pop(0)
            self._keys.discard(oldest.key)
            self._event_bytes -= _size_of_event(oldest)
            self._dropped = oldest.id


def _size_of_event(event: AssetEventRecord) -> int:
    return len(event.model_dump_json())


def _size_of_values(values: dict[str, str]) -> int:
    return sum(map(_size_of_text, _texts(values)))


def _texts(values: dict[str, str]) -> Iterable[str]:
    for key, value in values.items():
        yield key
        yield value


def _size_of_text(text: str) -> int:
    return len(json.dumps(text)) + 1
