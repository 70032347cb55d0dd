"""With this package installed, Airflow by itself behaves as without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DAG = """
from datetime import datetime
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2026, 1, 1))
def plain():
    @task
    def one():
        print("task one ran")
        return 1
    one()

plain_dag = plain()
if __name__ == "__main__":
    import sys
    run = plain_dag.test()
    ours = [name for name in sys.modules if name.startswith("temporal_airflow")]
    print("state", run.state, "ours", ours)
"""


def run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "_AIRFLOW__AS_LIBRARY"}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags")}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def test_dag_test_and_airflow_tasks_test_behave_as_without_this_package(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "plain.py"
    file.write_text(DAG)
    migrated = run("-m", "airflow", "db", "migrate", home=tmp_path)
    assert migrated.returncode == 0, migrated.stderr

    tested = run(str(file), home=tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.splitlines()[-1] == "state success ours []"

    task_tested = run("-m", "airflow", "tasks", "test", "plain", "one", home=tmp_path)
    assert task_tested.returncode == 0, task_tested.stderr
    assert "task one ran" in task_tested.stdout + task_tested.stderr


def test_importing_the_package_imports_neither_airflow_nor_temporal() -> None:
    script = (
        "import sys, time; begun = time.perf_counter(); import temporal_airflow; took = time.perf_counter() - begun;"
        "begun = time.perf_counter(); import asyncio, json, logging; reference = time.perf_counter() - begun;"
        "heavy = {'airflow', 'temporalio', 'pydantic', 'sqlalchemy'} & set(sys.modules);"
        "print(sorted(heavy), took < 10 * reference)"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[] True"
