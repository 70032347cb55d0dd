"""XComs on the wire: values, where large ones are, and questions about them."""

from __future__ import annotations

from temporal_airflow.models.base import CompactModel, SerializedXCom, WireModel


class XComValue(CompactModel):
    """A value, or where it is: exactly one of the two is set.

    Attributes:
        value: the serialized XCom.
        reference: path in object storage that holds the serialized XCom.
    """

    value: SerializedXCom | None = None
    reference: str | None = None


class XComRecord(CompactModel):
    """One XCom of a run. As part of a result, ``content=None`` deletes it."""

    task_id: str
    map_index: int = -1
    key: str
    content: XComValue | None = None


class XComRequest(WireModel):
    """One question to the query ``xcom``; None leaves a field open.

    Attributes:
        known_only: ask for keys and map indexes without their content.
    """

    task_id: str | None = None
    map_index: int | None = None
    key: str | None = None
    known_only: bool = False


class XComQuestion(WireModel):
    """A question to the query ``xcom``, from a page on.

    Attributes:
        offset: ``next_offset`` of the page before.
    """

    request: XComRequest
    offset: int = 0


class XComPage(WireModel):
    """Answer of the query ``xcom``: records in (task id, key, map index) order.

    Attributes:
        next_offset: where the next page starts; None at the end.
    """

    records: tuple[XComRecord, ...] = ()
    next_offset: int | None = None
