# mypy: ignore-errors
"""XCom backends of the parity DAGs: which one serves a DAG is told by its id; all others have Airflow's own."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend
from airflow.sdk.bases.xcom import BaseXCom

FILES = "stores_xcoms_in_files"
OBJECTS = "stores_xcoms_as_objects"
MARK = "parity-file:"


class Files(BaseXCom):
    """Keeps each value in a file of its own and leaves a note of every call."""

    @staticmethod
    def serialize_value(value, *, key=None, task_id=None, dag_id=None, run_id=None, map_index=None):
        if key == "refused":
            raise ValueError("this backend takes no such key")
        path = _folder() / "values" / f"{uuid.uuid4()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(BaseXCom.serialize_value(value)))
        _note(f"serialize {task_id}[{map_index}] {key} of {dag_id} {run_id}")
        return f"{MARK}{path}"

    @staticmethod
    def deserialize_value(result):
        path = Path(result.value.removeprefix(MARK))
        _note(f"deserialize {type(result).__name__}")
        result = type("Result", (), {"value": json.loads(path.read_text())})
        return BaseXCom.deserialize_value(result)

    @classmethod
    def purge(cls, xcom, *args):
        _note(f"purge {xcom.key} of {isinstance(xcom.value, str) and xcom.value.startswith(MARK)}")
        if isinstance(xcom.value, str):
            Path(xcom.value.removeprefix(MARK)).unlink(missing_ok=True)


class ByDag(BaseXCom):
    """What the installation is configured with."""

    @staticmethod
    def serialize_value(value, *, dag_id=None, **place):
        backend = {FILES: Files, OBJECTS: XComObjectStorageBackend}.get(dag_id, BaseXCom)
        return backend.serialize_value(value, dag_id=dag_id, **place)

    @staticmethod
    def deserialize_value(result):
        return _backend_of(result).deserialize_value(result)

    @classmethod
    def purge(cls, xcom, *args):
        _backend_of(xcom).purge(xcom, *args)


def _backend_of(result):
    if isinstance(result.value, str) and result.value.startswith(MARK):
        return Files
    if isinstance(result.value, str) and f"/{OBJECTS}/" in result.value:
        return XComObjectStorageBackend
    return BaseXCom


def _folder() -> Path:
    return Path(os.environ["AIRFLOW_HOME"]) / "backend"


def _note(line: str) -> None:
    with (Path(os.environ["AIRFLOW_HOME"]) / "scratch" / FILES / "backend").open("a") as notes:
        notes.write(f"{line}\n")
