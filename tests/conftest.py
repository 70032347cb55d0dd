"""What every test stands on: an Airflow home of its own, and no Airflow settings of the machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="temporal-airflow-tests-"))

for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "TEMPORAL_"))]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = str(HOME / "airflow")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__TEMPORAL__DATA_FOLDER"] = str(HOME / "data")
os.environ["_AIRFLOW__AS_LIBRARY"] = "1"  # before anything imports Airflow: a test must never reach a real database


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--max-cached-workflows",
        type=int,
        default=500,
        help="Runs a worker keeps in memory; 0 replays every run at each of its steps.",
    )


@pytest.fixture(scope="session")
def examples() -> Path:
    return Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def dags() -> Path:
    return Path(__file__).parent / "dags"
