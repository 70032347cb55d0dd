"""The value of an XCom record, wherever it is. It must not know whose it is."""

from __future__ import annotations

import json
from typing import Any

from temporal_airflow.models import XComRecord


def read_value(record: XComRecord) -> Any:
    """An XCom as JSON value (what Airflow's serialization made of it); one in object storage is read from there.

    Raises:
        SettingsError: if object storage can't be read from here.
    """
    content = record.content
    if content is None:
        return None
    if content.value is not None:
        return json.loads(content.value)
    from temporal_airflow.tasks import xcom_storage

    assert content.reference is not None, "either a value or a reference"
    return json.loads(xcom_storage.read(content.reference))
