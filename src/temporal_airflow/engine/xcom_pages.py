"""Answers questions about a run's XComs, in pages that fit into one message. It knows neither rows nor Airflow."""

from __future__ import annotations

from collections.abc import Sequence

from temporal_airflow.models import XComPage, XComRecord, XComRequest, XComValue

PAGE_BYTES = 1024 * 1024
"""Content of one page, in bytes of text."""

RECORD_BYTES = 200
"""What a record takes besides its content, roughly."""


def content_size(content: XComValue | None) -> int:
    """Bytes a value takes in a history (serialized XComs are ASCII)."""
    return len(content.value) if content and content.value else 0


def answer(records: Sequence[XComRecord], request: XComRequest, offset: int) -> XComPage:
    """Answer a question about XComs, in pages.

    Args:
        records: all XComs of a run, in order.
        request: which of them.
        offset: how many matching ones earlier pages held.
    """
    matching = [record for record in records if _matches(record, request)]
    page: list[XComRecord] = []
    size = 0
    for record in matching[offset:]:
        size += RECORD_BYTES + (0 if request.known_only else content_size(record.content))
        if page and size > PAGE_BYTES:
            return XComPage(records=tuple(page), next_offset=offset + len(page))
        page.append(record.model_copy(update={"content": None}) if request.known_only else record)
    return XComPage(records=tuple(page))


def _matches(record: XComRecord, request: XComRequest) -> bool:
    return (
        request.task_id in (None, record.task_id)
        and request.key in (None, record.key)
        and request.map_index in (None, record.map_index)
    )
