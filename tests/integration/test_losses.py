"""What is left of a run when a worker or the server goes away: everything.

Workers are processes of the command line, killed by signal; the server is one of our own on a database file, killed
and started again on the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from run_bench import DAGS_FOLDER, EndedRun, RunBench
from temporal_airflow import run_starting
from temporal_airflow.connection import connect
from temporal_airflow.dev_server.binary import find_binary, read_version
from temporal_airflow.dev_server.launch import ServerFiles, read_state
from temporal_airflow.models import ClearTasks
from temporal_airflow.settings import Settings, load_settings
from temporal_airflow.tasks.slots import ProcessTemplate
from waiting import PATIENCE, until

SHORT_TIMEOUT = 5.0
"""Seconds of heartbeat timeout, where a test waits for one."""


@dataclass
class Stage:
    """A server that can be taken away, and workers that can be killed."""

    settings: Settings
    home: Path
    bench: RunBench
    leases: AsyncExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **settings,
            "AIRFLOW__TEMPORAL__DATA_FOLDER": str(self.settings.data_folder),
            "AIRFLOW__TEMPORAL__SERVER_PORT": str(self.settings.server_port),
            "AIRFLOW__TEMPORAL__TASK_QUEUE": self.bench.task_queue,
        }
        command = [sys.executable, "-m", "temporal_airflow", "worker", "--dags-folder", str(DAGS_FOLDER)]
        with (self.home / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    async def stop_server(self) -> None:
        files = ServerFiles.of_database(self.settings, read_version(find_binary(self.settings, print)))
        state = read_state(files)
        assert state is not None
        os.kill(state.server_pid, signal.SIGKILL)
        await until("the server is gone", lambda: not psutil.pid_exists(state.server_pid))

    async def start_server(self) -> None:
        connection = await self.leases.enter_async_context(connect(self.settings, report=print))
        self.bench.temporal = connection.client

    async def result(self, workflow_id: str) -> EndedRun:
        async with asyncio.timeout(PATIENCE):
            return await self.bench.end(workflow_id)

    def ran(self) -> Counter[str]:
        """How often each task started, by task id."""
        return Counter(line.split()[0] for line in self.bench.notes("ran"))

    def has_run(self, task_id: str, times: int) -> bool:
        return self.ran()[task_id] == times

    def pids(self, name: str = "ran") -> list[int]:
        return [int(line.split()[-1]) for line in self.bench.notes(name)]

    def let_go(self) -> None:
        (self.bench.scratch / "go").touch()


@pytest_asyncio.fixture
async def stage(template: ProcessTemplate, tmp_path: Path) -> AsyncIterator[Stage]:
    settings = load_settings(data_folder=tmp_path / "data", server_port=free_port())
    async with AsyncExitStack() as leases:
        connection = await leases.enter_async_context(connect(settings, report=print))
        bench = RunBench(connection.client, template, settings, tmp_path, task_queue=f"losses-{uuid.uuid4().hex}")
        stage = Stage(settings, tmp_path, bench, leases)
        try:
            yield stage
            assert await bench.failed_workflow_tasks() == []
        finally:
            for worker in stage.workers:
                worker.kill()
                worker.wait()


def free_port() -> int:
    """A port that nobody's outgoing connection takes while the server is away: below the range of those."""
    for port in random.sample(range(15_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


async def test_a_killed_worker_loses_no_finished_task(stage: Stage) -> None:
    worker = stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "six_tasks", limits={"heartbeat_timeout": SHORT_TIMEOUT})
    await until("the third task runs", lambda: len(stage.bench.notes("strays")) == 1)
    family = descendants(worker.pid)
    assert stage.pids()[-1] in {process.pid for process in family}

    worker.kill()
    await until("no descendant of the worker is alive", lambda: not alive(family), patience=5)

    stage.start_worker()
    await until("the third task runs again", lambda: stage.ran()["third"] == 2)
    stage.let_go()
    run = await stage.result(workflow_id)
    assert run.state == "success"
    assert stage.ran() == {"first": 1, "second": 1, "third": 2, "fourth": 1, "fifth": 1, "sixth": 1}
    assert run.tries["third"] == 1
    [lost] = run.task("third").lost_attempts
    assert (lost.try_number, lost.attempt) == (1, 1)


async def test_a_run_goes_on_when_the_server_was_killed_and_started_again(stage: Stage) -> None:
    stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "six_tasks")
    await until("the third task runs", lambda: stage.ran()["third"] == 1)
    await stage.stop_server()
    await stage.start_server()
    stage.let_go()
    run = await stage.result(workflow_id)
    assert run.state == "success"
    assert stage.ran() == dict.fromkeys(("first", "second", "third", "fourth", "fifth", "sixth"), 1)


async def test_a_task_that_finishes_while_the_server_is_away_runs_once(stage: Stage) -> None:
    """30 s are longer than the SDK tries to deliver a result, and shorter than the heartbeat timeout."""
    stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "one_waits")
    await until("the task runs", lambda: stage.ran()["waits"] == 1)
    await stage.stop_server()
    back_at = time.monotonic() + 30
    stage.let_go()
    await until("the task has finished", (stage.bench.scratch / "ended").exists)
    await until("the server was away for 30 s", lambda: time.monotonic() > back_at)
    await stage.start_server()
    run = await stage.result(workflow_id)
    assert run.state == "success"
    assert stage.ran() == {"waits": 1, "follows": 1}
    assert run.task("waits").lost_attempts == ()


async def test_an_attempt_is_fenced_when_the_server_is_away_for_longer_than_the_heartbeat_timeout(stage: Stage) -> None:
    stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "one_waits", limits={"heartbeat_timeout": SHORT_TIMEOUT})
    await until("the task runs", lambda: stage.ran()["waits"] == 1)
    [first] = stage.pids()
    await stage.stop_server()
    await until("the attempt's process is gone while the server is away", lambda: not psutil.pid_exists(first))
    await stage.start_server()
    await until("another attempt runs", lambda: stage.ran()["waits"] == 2)
    stage.let_go()
    run = await stage.result(workflow_id)
    assert run.state == "success"
    assert (run.tries["waits"], len(run.task("waits").lost_attempts)) == (1, 1)


async def test_a_task_longer_than_its_heartbeat_timeout_succeeds(stage: Stage) -> None:
    stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "one_waits", limits={"heartbeat_timeout": 3.0})
    await until("the task runs", lambda: stage.ran()["waits"] == 1)
    longer = time.monotonic() + 8
    await until("the heartbeat timeout has passed twice", lambda: time.monotonic() > longer)
    stage.let_go()
    run = await stage.result(workflow_id)
    assert (run.state, stage.ran()) == ("success", {"waits": 1, "follows": 1})


async def test_attempts_lost_again_and_again_end_as_a_failed_try(stage: Stage) -> None:
    stage.start_worker()
    limits: dict[str, Any] = {"heartbeat_timeout": SHORT_TIMEOUT, "max_lost_attempts": 2}
    workflow_id = await stage.bench.start("losses.py", "one_waits", limits=limits)
    for attempt in (1, 2):
        await until(f"attempt {attempt} runs", partial(stage.has_run, "waits", attempt))
        forked_from, slot = psutil.Process(stage.pids()[-1]).parents()[:2]
        (slot if attempt == 1 else forked_from).kill()
    run = await stage.result(workflow_id)
    assert run.state == "failed"
    assert run.states == {"waits": "failed", "follows": "upstream_failed"}
    assert "2 attempts were lost" in (run.task("waits").error or "")


async def test_a_run_that_a_task_has_started_is_not_started_again_by_its_repeated_attempt(stage: Stage) -> None:
    of_triggered_run = {"AIRFLOW__TEMPORAL__HEARTBEAT_TIMEOUT": str(SHORT_TIMEOUT)}
    worker = stage.start_worker(**of_triggered_run)
    workflow_id = await stage.bench.start(
        "triggering.py", "triggers_and_is_lost", limits={"heartbeat_timeout": SHORT_TIMEOUT}
    )
    await until("the triggered run waits", lambda: len(stage.bench.notes("triggered")) == 1)
    worker.kill()
    stage.start_worker(**of_triggered_run)
    await until("the triggered run waits again", lambda: len(stage.bench.notes("triggered")) == 2)
    stage.let_go()
    run = await stage.result(workflow_id)
    assert (run.state, run.tries, len(run.task("waits").lost_attempts)) == ("success", {"waits": 1}, 1)
    triggered = run.xcom("waits", "trigger_run_id")
    assert set(stage.bench.notes("triggered")) == {triggered}
    runs = (await stage.bench.client.list_runs(dag_id="triggered")).runs
    assert [listed.run_id for listed in runs] == [triggered]


async def test_what_a_task_had_its_run_remember_outlives_a_killed_worker(stage: Stage) -> None:
    worker = stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "remembers", limits={"heartbeat_timeout": SHORT_TIMEOUT})
    await until("the run has acknowledged the write", (stage.bench.scratch / "acknowledged").exists)
    worker.kill()
    stage.start_worker()
    run = await stage.result(workflow_id)
    assert (run.state, run.tries) == ("success", {"submits": 2})
    assert len(run.task("submits").lost_attempts) == 1
    first, same_try_again, next_try = stage.bench.notes("jobs")
    assert (first, same_try_again) == ("None None", "{'id': \"the job's id\"} of the asset")
    assert next_try == same_try_again


async def test_a_task_that_is_cleared_while_its_worker_is_lost_runs_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # for so long the server may leave the run to the killed worker
    monkeypatch.setattr(run_starting, "WORKFLOW_TASK_TIMEOUT", timedelta(seconds=5))
    worker = stage.start_worker()
    workflow_id = await stage.bench.start("losses.py", "one_waits", limits={"heartbeat_timeout": SHORT_TIMEOUT})
    await until("the task runs", lambda: stage.ran()["waits"] == 1)
    worker.kill()
    stage.start_worker()
    action = ClearTasks(kind="clear", task_ids=("waits",))
    answer = await stage.bench.client.act(workflow_id, action)
    assert [ti.task_id for ti in answer.task_instances] == ["waits"]
    await until("the task runs anew", lambda: stage.ran()["waits"] == 2)
    stage.let_go()
    run = await stage.result(workflow_id)
    assert (run.state, run.tries) == ("success", {"waits": 2, "follows": 1})
