"""Where XCom values are that are too large to travel: object storage, through Airflow's own ``ObjectStoragePath``.

A serialized value is the ASCII text ``json.dumps`` gives. It must not know which values are large, nor whose they are.
"""

from __future__ import annotations

import uuid
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath

from temporal_airflow.exceptions import SettingsError

SETTING = "[temporal] xcom_objectstorage_path"


def write(root: str, parts: tuple[str, ...], serialized: str) -> str:
    """Store a value under a path that is never written twice.

    Args:
        root: the configured object storage path.
        parts: dag id, run id, task id, map index and key.
        serialized: the value.

    Returns:
        The reference under which :func:`read` finds it.

    Raises:
        SettingsError: if the storage can't be written to.
    """
    *folders, key = (_quote(part) for part in parts)
    try:
        folder = ObjectStoragePath(root).joinpath(*folders)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{key}-{uuid.uuid4().hex}.json"
        path.write_text(serialized)
    except Exception as error:
        raise SettingsError(
            f"An XCom of {len(serialized):,} bytes is too large to travel, and object storage at {root!r} can't be "
            f"written ({type(error).__name__}: {error}). Set {SETTING} to a path that all workers can write."
        ) from error
    return str(path)


def read(reference: str) -> str:
    """The value that was stored.

    Raises:
        SettingsError: if it can't be read from this worker.
    """
    try:
        return str(ObjectStoragePath(reference).read_text())
    except Exception as error:
        raise SettingsError(
            f"The XCom stored at {reference!r} can't be read here ({type(error).__name__}: {error}). "
            f"{SETTING} must be a path that all workers share."
        ) from error


def _quote(part: str) -> str:
    quoted = quote(part, safe="")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted
