"""A folder of DAG files as Airflow's configuration knows it: one local DAG bundle.

It must not know Airflow's classes: it writes the environment of a process that will import Airflow.
"""

from __future__ import annotations

import json
from pathlib import Path

BUNDLE_NAME = "dags-folder"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"


def bundle_environment(dags_folder: Path) -> dict[str, str]:
    """Environment variables that make a folder Airflow's DAG folder and only bundle."""
    folder = str(dags_folder.absolute())
    bundle = {"name": BUNDLE_NAME, "classpath": LOCAL_BUNDLE, "kwargs": {"path": folder, "refresh_interval": 0}}
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": folder,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
    }
