"""State that outlives runs, on the wire: what a workflow ``keep_airflow_state`` keeps, takes and answers.

Values are opaque texts: JSON of an asset's state, or a variable that the task's process has sealed.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from temporal_airflow.models.assets import CHANGES_PER_RUN, AssetEventRecord
from temporal_airflow.models.base import WireModel


class KeptState(WireModel):
    """Input of the workflow ``keep_airflow_state``, when it starts and whenever it continues.

    Attributes:
        events: the latest, oldest first.
        dropped: id of the latest event that had to make room.
    """

    values: dict[str, str] = Field(default_factory=dict)
    events: tuple[AssetEventRecord, ...] = ()
    dropped: int = 0
    changes_per_run: int = CHANGES_PER_RUN


class StateChange(WireModel):
    """The update ``change``; its parts are carried out in this order.

    Attributes:
        clear: delete every value.
        values: to set, or to delete if None.
        events: to add; one that is kept already changes nothing.
    """

    clear: bool = False
    values: dict[str, str | None] = Field(default_factory=dict)
    events: tuple[AssetEventRecord, ...] = ()


class ValueQuestion(WireModel):
    """The query ``values``: one value, or keys in order if none is named."""

    key: str | None = None
    prefix: str = ""
    limit: int = 1000
    offset: int = 0


class ValueAnswer(WireModel):
    """Answer of the query ``values``.

    Attributes:
        total: how many keys there are, beyond the page asked for.
    """

    value: str | None = None
    keys: tuple[str, ...] = ()
    total: int = 0


class EventQuestion(WireModel):
    """The query ``events``; both ends of the time range belong to it."""

    after: datetime | None = None
    before: datetime | None = None
    ascending: bool = True
    limit: int | None = None
