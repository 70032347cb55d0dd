"""The environment that both sides of a comparison run in: the same DAG bundles, plugins, connections and dice.

It must not import Airflow: it is written before Airflow reads it. Hashes are fixed: Airflow pushes some XComs in the
order of a set.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from temporal_airflow.tasks.bundles import bundle_environment

FOLDER = Path(__file__).parent
OWN_DAGS = FOLDER / "dags"
RECORDS = FOLDER / "records"
FIXED_CHANCE = FOLDER / "fixed_chance"

RUN_ID = "parity"
LOGICAL_DATE = datetime(2024, 2, 5, 4, 5, 6, tzinfo=UTC)
"""A Monday, and so long ago that no other time in a run can be mistaken for it."""

VALUES = {
    "AIRFLOW_CONN_PARITY": "generic://user:secret@host:1234/schema?extra=value",
    "AIRFLOW_CONN_FS": "fs://",
    "AIRFLOW_CONN_FS_DEFAULT": "fs://",
    "AIRFLOW_VAR_PARITY": "a variable",
    "AIRFLOW_VAR_PARITY_JSON": '{"key": [1, 2]}',
}
"""What tasks look up."""


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
    return {
        **inherited,
        **bundle_environment(OWN_DAGS),
        **VALUES,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "True",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(FIXED_CHANCE), os.environ.get("PYTHONPATH")))),
    }


REQUIRED_CONF: dict[str, dict[str, str]] = {"example_params_ui_tutorial": {"required_field": "given as required"}}
"""What examples can't be started without."""


def run_conf(dag_id: str, path: Path, scratch: Path) -> dict[str, str]:
    """The conf of a run: our own DAGs are told where to leave notes, Airflow's examples get what they require."""
    return {"scratch": str(scratch / dag_id)} if path.is_relative_to(OWN_DAGS) else REQUIRED_CONF.get(dag_id, {})
