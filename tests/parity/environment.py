"""The environment that both sides of a comparison run in: the same DAG bundles, plugins, connections and dice.

It must not import Airflow: it is written before Airflow reads it. Hashes are fixed: Airflow pushes some XComs in the
order of a set.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporal_airflow.tasks.bundles import BUNDLE_NAME, LOCAL_BUNDLE

FOLDER = Path(__file__).parent
OWN_DAGS = FOLDER / "dags"
SECOND_BUNDLE = FOLDER / "second_bundle"
INSTALLATION = FOLDER / "installation"
"""What a company adds to its Airflow: plugins, policies, a secrets backend, an XCom backend."""

RECORDS = FOLDER / "records"
FIXED_CHANCE = FOLDER / "fixed_chance"
IMPORTABLE = FOLDER / "importable"

RUN_ID = "parity"
LOGICAL_DATE = datetime(2024, 2, 5, 4, 5, 6, tzinfo=UTC)
"""A Monday, and so long ago that no other time in a run can be mistaken for it."""

POOLS = {"two": 2}
"""Slots of the pools there are, besides the default one."""

VALUES = {
    "AIRFLOW_CONN_PARITY": "generic://user:secret@host:1234/schema?extra=value",
    "AIRFLOW_CONN_AWS_DEFAULT": "aws://key:secret@/?region=eu-west-1",
    "AIRFLOW_CONN_FS": "fs://",
    "AIRFLOW_CONN_FS_DEFAULT": "fs://",
    "AIRFLOW_VAR_PARITY": "a variable",
    "AIRFLOW_VAR_PARITY_JSON": '{"key": [1, 2]}',
    "AIRFLOW_CONN_OF_ENVIRONMENT": "postgres://user:p%40ss@environment.example:5432/db?sslmode=on",
    "AIRFLOW_CONN_OF_ENVIRONMENT_JSON": '{"conn_type": "http", "host": "json.example", "extra": {"a": [1]}}',
    "AIRFLOW_CONN_OF_WORKER_AND_ENVIRONMENT": "generic://environment.example",
    "AIRFLOW_VAR_OF_ENVIRONMENT": "by the environment",
    "AIRFLOW_VAR_OF_WORKER_AND_ENVIRONMENT": "environment",
}
"""What tasks look up."""


def _settings(home: Path) -> dict[str, str]:
    bundles = [
        {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder), "refresh_interval": 0}}
        for name, folder in ((BUNDLE_NAME, OWN_DAGS), ("second", SECOND_BUNDLE))
    ]
    of_server = {
        f"{what}_file_path": str(INSTALLATION / f"server_{what}.json") for what in ("connections", "variables")
    }
    of_workers = {
        "connections_file_path": str(INSTALLATION / "worker_connections.yaml"),
        "variables_file_path": str(INSTALLATION / "worker_variables.env"),
        "greeting": "hello",
    }
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES": "airflow.* parity_types.[!N]* parity_types.Nested",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # a fresh installation reads large libraries from a cold disk
        "AIRFLOW__CORE__DAGS_FOLDER": str(OWN_DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "True",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(INSTALLATION / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "parity_xcoms.ByDag",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{home}/objects",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "200",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_COMPRESSION": "gzip",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__EMAIL__EMAIL_BACKEND": "parity_calls.send",
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(of_server),
        "AIRFLOW__STANDARD__VENV_INSTALL_METHOD": "pip",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "parity_secrets.OfWorkers",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps(of_workers),
    }


def of_one_folder(folder: Path) -> dict[str, str]:
    """Settings in the place of the corpus's for an Airflow that knows the DAGs of one folder."""
    bundle = {"name": BUNDLE_NAME, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder), "refresh_interval": 0}}
    return {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
    }


def shared_environment(home: Path) -> dict[str, str]:
    """Environment variables of Airflow and of us alike.

    Args:
        home: folder for everything that a side leaves.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "TEMPORAL", "PYTEST"))
    }
    importable = (str(FIXED_CHANCE), str(IMPORTABLE), str(INSTALLATION))
    return {
        **inherited,
        **VALUES,
        **_settings(home),
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, (*importable, os.environ.get("PYTHONPATH")))),
    }


CONF: dict[str, dict[str, Any]] = {
    "example_params_ui_tutorial": {"required_field": "given as required"},
    "takes_params": {
        "required": "given",
        "enum": "b",
        "overridden": 7,
        "nested": {"list": [{"n": 2}]},
        "maximum": 7.5,
        "extra": "beyond the params",
    },
    "takes_dag_arguments": {"number": 2},
}
"""What single DAGs are started with."""


def run_conf(dag_id: str, path: Path, scratch: Path) -> dict[str, Any]:
    """The conf of a run: our own DAGs are told where to leave notes."""
    notes = {"scratch": str(scratch / dag_id)} if path.is_relative_to(OWN_DAGS) else {}
    return {**notes, **CONF.get(dag_id, {})}
