"""The value of an XCom record, wherever it is. It must not know whose it is."""

from __future__ import annotations

import json
from typing import Any

from temporal_airflow.models import XComRecord


def read_value(record: XComRecord) -> Any:
    """An XCom as JSON value (what Airflow's serialization made of it); None if it was deleted.

    Raises:
        SettingsError: if it is in object storage that can't be read from here.
    """
    return json.loads(read_serialized(record)) if record.content else None


def read_serialized(record: XComRecord) -> str:
    """The serialized XCom of a record that has one.

    Raises:
        SettingsError: if it is in object storage that can't be read from here.
    """
    assert record.content is not None, "a deleted XCom has no value"
    if record.content.value is not None:
        return record.content.value
    from temporal_airflow.tasks import xcom_storage

    assert record.content.reference is not None, "either a value or a reference"
    return xcom_storage.read(record.content.reference)
