"""Many runs at once in one worker, and two projects on one server: nothing is mixed up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from run_bench import RunBench

PROJECT_DAG = """
import os, sys
from datetime import datetime
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2026, 1, 1))
def project():
    @task
    def where(step):
        import only_here
        return [only_here.NAME, os.environ["AIRFLOW_HOME"]]
    for step in range(6):
        where.override(task_id=f"where_{step}")(step)

project()
"""


async def test_25_runs_of_3_dags_at_once_keep_their_own_states_and_xcoms(bench: RunBench) -> None:
    dag_ids = ("echoes", "fails_on_odd", "maps_over_number")
    async with bench.worker(concurrency=8):
        started = [
            (number, dag_ids[number % 3], await bench.start("many.py", dag_ids[number % 3], conf={"number": number}))
            for number in range(25)
        ]
        runs = await asyncio.gather(*(bench.end(workflow_id) for _, _, workflow_id in started))
    for (number, dag_id, _), run in zip(started, runs, strict=True):
        match dag_id:
            case "echoes":
                assert run.xcom("last") == [number, number * 2]
                assert run.state == "success"
            case "fails_on_odd":
                expected = "failed" if number % 2 else "success"
                assert (run.state, run.states["check"]) == (expected, expected)
            case "maps_over_number":
                assert run.xcom("total") == sum(range(number % 4 + 1)) + number
                assert len(run.states) == number % 4 + 1 + 2


async def test_two_projects_on_one_server_never_take_each_others_tasks(tmp_path: Path) -> None:
    commands = [await _start_project(tmp_path, name) for name in ("left", "right")]
    outputs = [await command.communicate() for command in commands]
    for name, command, (stdout, stderr) in zip(("left", "right"), commands, outputs, strict=True):
        assert command.returncode == 0, stderr.decode()
        run = json.loads(stdout)
        answers = [ti["xcom"]["return_value"] for ti in run["task_instances"]]
        assert answers == [[name, str(tmp_path / name / "home")]] * 6


async def _start_project(folder: Path, name: str) -> asyncio.subprocess.Process:
    project = folder / name
    project.mkdir()
    (project / "project.py").write_text(PROJECT_DAG)
    (project / "only_here.py").write_text(f"NAME = {name!r}\n")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(project / "home"),
        "AIRFLOW__TEMPORAL__DATA_FOLDER": str(folder / "data"),
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "temporal_airflow", "run", str(project / "project.py")),
        *("--run-id", f"run-{name}", "--output", "json", "--xcom"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
