"""The pages on workers, queues, pools and priorities: their commands, typed as they are printed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from command_line import CommandLine, environment_of
from printed_pages import HOW_TO, ROOT, printed, printed_lines
from run_bench import DAGS_FOLDER
from temporal_airflow.dev_server import lease
from temporal_airflow.settings import Settings
from waiting import eventually

AIRFLOWS_WORDS = "Not scheduling since there are 0 open slots in pool resized and require 1 pool slots"

IN_PRINTED_POOL = """

from airflow.sdk import dag

@dag(schedule=None)
def loads():
    load()

loads()
"""


@pytest_asyncio.fixture
async def typed(tmp_path: Path) -> AsyncIterator[CommandLine]:
    """Commands on a server of their own, in a folder with the DAG files that the pages speak of."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "dags").symlink_to(ROOT / "examples")
    (tmp_path / "output").mkdir()
    async with lease(Settings(data_folder=tmp_path / "data"), report=lambda _: None):
        commands = CommandLine(environment_of(tmp_path), tmp_path / "output", cwd=tmp_path)
        yield commands
        commands.close()


def test_the_commands_of_workers_and_queues(typed: CommandLine) -> None:
    (_, *dev), (_, *trigger), (_, *listing), *workers, (export, variable) = printed_lines(
        HOW_TO / "workers-and-queues.md"
    )
    assert export == "export"
    with typed.start(*dev) as running:
        running.says("Worker ready")
        assert typed.call(*trigger, "--wait").exit_code == 0
        assert "simple_dag" in typed.call(*listing).stdout
    for _, *worker in workers:
        with typed.start(*worker) as running:
            running.says("Worker ready")
            assert ("gpu" in worker) == ("Airflow queues: default, gpu" in running.stderr)
    name, _, task_queue = variable.partition("=")
    with typed.start("worker", "--dags-folder", "dags", **{name: task_queue}) as running:
        running.says(f"task queue {task_queue}")
        assert typed.call(*trigger, "--wait", **{name: task_queue}).exit_code == 0


def test_the_commands_of_pools_and_priorities(typed: CommandLine, tmp_path: Path) -> None:
    for _, *arguments in printed_lines(HOW_TO / "pools-and-priorities.md"):
        ended = typed.call(*arguments)
        assert ended.exit_code == 0, f"{arguments}: {ended.stderr}"
    assert json.loads((tmp_path / "pools.json").read_text())["warehouse"]["slots"] == 5
    [task] = printed(HOW_TO / "pools-and-priorities.md", "python")
    (tmp_path / "loads.py").write_text(task + IN_PRINTED_POOL)
    loaded = typed.call("run", "loads.py")
    assert loaded.exit_code == 0, loaded.stderr


def test_status_says_how_full_the_pool_is_that_a_task_waits_for(typed: CommandLine, tmp_path: Path) -> None:
    typed.call("pools", "set", "resized", "2", "Two at once")
    with typed.start("worker", "--dags-folder", DAGS_FOLDER) as running:
        running.says("Worker ready")
        scratch = json.dumps({"scratch": str(tmp_path)})
        started = typed.call("trigger", "fills_a_pool", "--run-id", "one", "--conf", scratch)
        assert started.exit_code == 0, started.stderr
        waiting = eventually("the pool is full", lambda: _waiting(typed))
        reasons = {why["reason"] for why in waiting}
        assert reasons == {f"{AIRFLOWS_WORDS} (2 are used, 14 asked for)"}
        (tmp_path / "go").touch()


def _waiting(typed: CommandLine) -> list[dict[str, Any]]:
    """Why the tasks wait that don't run, once only those do that have a slot."""
    tasks = typed.call("status", "fills_a_pool/one", "--why", "-o", "json").json["task_instances"]
    waiting = [ti["why"][-1] for ti in tasks if ti["state"] == "scheduled"]
    return waiting if len(waiting) == 14 else []
