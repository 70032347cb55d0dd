"""``worker --processes N``: several workers under one command, as a user sees them die, be replaced, and end."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from command_line import CommandLine, Running
from waiting import eventually

READY = "Worker processes: 2."
BAD_INPUT, NO_SERVER = 2, 3


@contextmanager
def two_processes(commands: CommandLine, examples: Path, task_queue: str) -> Iterator[Running]:
    arguments = ("worker", "--dags-folder", examples, "--processes", "2", "--concurrency", "3")
    with commands.start(*arguments, AIRFLOW__TEMPORAL__TASK_QUEUE=task_queue) as running:
        running.says(READY)
        yield running


def processes_of(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children()


def succeeds(commands: CommandLine, task_queue: str) -> bool:
    ended = commands.call("trigger", "simple_dag", "--wait", AIRFLOW__TEMPORAL__TASK_QUEUE=task_queue)
    return ended.exit_code == 0


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_gone(processes: list[psutil.Process]) -> None:
    eventually(
        "no process is left", lambda: not any(each.is_running() and each.status() != "zombie" for each in processes)
    )


def test_a_worker_process_that_dies_is_replaced_and_a_signal_drains_them_all(
    commands: CommandLine, examples: Path
) -> None:
    task_queue = f"test-{uuid.uuid4().hex[:8]}"
    with two_processes(commands, examples, task_queue) as running:
        first, second = processes_of(running)
        assert succeeds(commands, task_queue)
        below = first.children(recursive=True)
        first.kill()
        running.says(f"Worker process {first.pid} ended unexpectedly (SIGKILL); it is replaced.")
        assert_gone(below)
        assert succeeds(commands, task_queue)
        eventually("there are two again", lambda: len(processes_of(running)) == 2)
        assert second in processes_of(running)
        everything = psutil.Process(running.process.pid).children(recursive=True)
        for process in processes_of(running):
            process.send_signal(signal.SIGTERM)  # as a service manager does, to all of them
        running.interrupt(signal.SIGTERM)
        running.says("Draining: no new tasks are taken")
        assert running.ended().exit_code == 0
        assert "Stopping" not in running.stderr
        assert_gone(everything)


def test_worker_processes_end_when_their_command_is_killed(commands: CommandLine, examples: Path) -> None:
    with two_processes(commands, examples, f"test-{uuid.uuid4().hex[:8]}") as running:
        everything = psutil.Process(running.process.pid).children(recursive=True)
        assert len(everything) > 4  # two workers, each with guardian and template
        running.process.kill()
        assert_gone(everything)


@pytest.mark.parametrize(
    ("setting", "exit_code", "problem"),
    [
        ({"AIRFLOW__TEMPORAL__CONCURRENCY": "1"}, BAD_INPUT, "2 worker processes can't share 1 tasks at once"),
        ({"TEMPORAL_ADDRESS": "127.0.0.1:9"}, NO_SERVER, "No Temporal server answers at 127.0.0.1:9"),
    ],
)
def test_worker_processes_that_can_not_start_end_the_command(
    commands: CommandLine, examples: Path, setting: dict[str, str], exit_code: int, problem: str
) -> None:
    environment = {**setting, "AIRFLOW__TEMPORAL__CONNECT_TIMEOUT": "1"}
    with commands.start("worker", "--dags-folder", examples, "--processes", "2", **environment) as running:
        ended = running.ended()
    assert ended.exit_code == exit_code
    assert problem in ended.stderr
