"""The programs that the documents print, run as they are printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from command_line import CommandLine, environment_of
from printed_pages import HOW_TO, ROOT, printed, printed_lines
from waiting import until

PRINTED_ADDRESS = "localhost:7233"


def test_the_program_of_the_readme(home: Path, server: Client, tmp_path: Path) -> None:
    [text] = printed(ROOT / "README.md", "python")
    program = tmp_path / "program.py"
    program.write_text(text, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, program], cwd=ROOT, env=environment_of(home), capture_output=True, text=True, check=False
    )

    assert ended.stdout.split(maxsplit=1) == ["success", "total 31, largest 9\n"], ended.stderr


def test_the_tests_of_testing_dags(home: Path, tmp_path: Path) -> None:
    tests = tmp_path / "test_printed.py"
    tests.write_text("\n".join(printed(HOW_TO / "testing-dags.md", "python")), encoding="utf-8")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            tests,
            "-q",
            "-c",
            "/dev/null",
            "--rootdir",
            tmp_path,
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        env=environment_of(home),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "3 passed" in ended.stdout, ended.stdout


def test_the_commands_of_looking_at_runs(commands: CommandLine) -> None:
    for _, *line in printed_lines(HOW_TO / "looking-at-runs.md"):
        ended = commands.call(*line)
        assert ended.exit_code == 0, (line, ended.stderr)
        assert ended.stdout, line


@contextmanager
def started(program: Path, environment: dict[str, str], output: Path) -> Iterator[None]:
    """A program that runs for as long as the block does."""
    with output.open("wb") as out:
        process = subprocess.Popen([sys.executable, program], cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_the_team_s_own_worker(home: Path, commands: CommandLine, server: Client, tmp_path: Path) -> None:
    address = server.service_client.config.target_host
    greetings, worker = printed(HOW_TO / "own-worker.md", "python")
    assert PRINTED_ADDRESS in worker
    (tmp_path / "greetings.py").write_text(greetings, encoding="utf-8")
    (tmp_path / "team_worker.py").write_text(worker.replace(PRINTED_ADDRESS, address), encoding="utf-8")
    output = tmp_path / "output"
    with started(tmp_path / "team_worker.py", environment_of(home), output):
        await until("the team's worker serves its queue", lambda: _is_served(server, "airflow-tasks"))
        greeting = await server.execute_workflow("Greeting", "you", id="greeting", task_queue="airflow-tasks")
        triggered = commands.call(
            "trigger", "simple_dag", "--wait", "--run-id", "by-the-team", TEMPORAL_ADDRESS=address
        )

    assert greeting == "Hello you"
    assert triggered.exit_code == 0, triggered.stderr + output.read_text()
    assert triggered.stdout == "dag-simple_dag-by-the-team\n"


async def _is_served(client: Client, task_queue: str) -> bool:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    return bool((await client.workflow_service.describe_task_queue(request)).pollers)
