"""Answers questions about a run's XComs, in pages that fit into one message. It knows neither rows nor Airflow."""

from __future__ import annotations

from collections.abc import Sequence

from temporal_airflow.models import XComPage, XComQuestion, XComRecord, XComRequest, XComValue

PAGE_BYTES = 1024 * 1024
"""Content of one page, in bytes of text."""

RECORD_BYTES = 200
"""What a record takes besides its content, roughly."""


def content_size(content: XComValue | None) -> int:
    """Bytes a value takes in a history (serialized XComs are ASCII)."""
    return len(content.value) if content and content.value else 0


def answer_questions(records: Sequence[XComRecord], questions: Sequence[XComQuestion]) -> list[XComPage]:
    """Answer questions about XComs, at least the first one and as many more as fit into one message.

    Args:
        records: all XComs of a run, in order.
        questions: each answered by one page.
    """
    pages: list[XComPage] = []
    size = 0
    for question in questions:
        page, page_size = _page(records, question)
        size += page_size
        if pages and size > PAGE_BYTES:
            break
        pages.append(page)
    return pages


def _page(records: Sequence[XComRecord], question: XComQuestion) -> tuple[XComPage, int]:
    request, offset = question.request, question.offset
    matching = [record for record in records if _matches(record, request)]
    page: list[XComRecord] = []
    size = 0
    for record in matching[offset:]:
        more = RECORD_BYTES + (0 if request.known_only else content_size(record.content))
        if page and size + more > PAGE_BYTES:
            return XComPage(records=tuple(page), next_offset=offset + len(page)), size
        size += more
        page.append(record.model_copy(update={"content": None}) if request.known_only else record)
    return XComPage(records=tuple(page)), size


def _matches(record: XComRecord, request: XComRequest) -> bool:
    return (
        request.task_id in (None, record.task_id)
        and request.key in (None, record.key)
        and request.map_index in (None, record.map_index)
    )
