"""Logs from the command line: triggers beside tasks, and remote logging as Airflow's settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import CommandLine

FOLDER = Path(__file__).parent.parent / "dags" / "command_line"
REMOTE_LOGGING = Path(__file__).parent.parent / "remote_logging"
ON_PATH = f"import sys; sys.path.insert(0, {str(REMOTE_LOGGING)!r})"

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def machines(commands: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Environments of the machine that ran the tasks, of another one, and of one without remote logging."""
    folder = tmp_path_factory.mktemp("machines")
    remote = {
        "PYTHONPATH": str(REMOTE_LOGGING),
        "SHARED_LOGS": str(folder / "shared"),
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "folder_logging.LOGGING_CONFIG",
    }
    (folder / "shared").mkdir()
    worker = {**remote, "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "worker")}
    with commands.start("run", FOLDER / "naps.py", "--run-id", "logged", **worker) as run:
        assert run.ended().exit_code == 0, run.stderr
    return {
        "worker": worker,
        "other": {**remote, "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "other")},
        "alone": {"AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "alone")},
    }


def logs(commands: CommandLine, environment: dict[str, str], *arguments: str) -> list[str]:
    ended = commands.call("logs", "naps/logged", *arguments, before=ON_PATH, **environment)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout.splitlines()


def position(lines: list[str], text: str) -> int:
    return next(index for index, line in enumerate(lines) if text in line)


def test_triggers_are_read_with_their_task_in_order_of_time(
    commands: CommandLine, machines: dict[str, dict[str, str]]
) -> None:
    lines = logs(commands, machines["worker"], "naps")
    said = [position(lines, text) for text in ("good night", "Trigger fired event", "good morning")]
    assert said == sorted(said)
    assert len(lines) == len(set(lines)), "what is here isn't read from the remote storage again"


def test_another_machine_reads_the_same_from_the_remote_storage(
    commands: CommandLine, machines: dict[str, dict[str, str]]
) -> None:
    here = logs(commands, machines["worker"], "naps")
    assert logs(commands, machines["other"], "naps") == here
    assert logs(commands, machines["other"], "naps", "--follow") == here


def test_a_process_uploads_its_log_once(machines: dict[str, dict[str, str]]) -> None:
    uploads = Path(machines["worker"]["SHARED_LOGS"], "uploads").read_text().splitlines()
    log = "dag_id=naps/run_id=logged/task_id=naps/attempt=1.log"
    assert uploads.count(f"{log} of naps try 1") == 2, "before and after the wait"
    assert len([each for each in uploads if each.startswith(f"{log}.trigger.")]) == 1


def test_a_machine_that_has_no_log_says_why(commands: CommandLine, machines: dict[str, dict[str, str]]) -> None:
    def refused(machine: str, task: str, before: str = ON_PATH) -> str:
        ended = commands.call("logs", "naps/logged", task, before=before, **machines[machine])
        assert ended.exit_code in (1, 2)
        return ended.stderr

    another_host = "import airflow.utils.net as net; net.get_hostname = lambda: 'elsewhere'\n"
    another_host += "import temporal_airflow.cli.logs as logs; logs.get_hostname = net.get_hostname"
    said = refused("alone", "naps", another_host)
    assert "the task ran on host '" in said
    assert "and this is 'elsewhere'. Read it there, or let Airflow's remote logging keep logs" in said
    assert "Task 'empty' had no process of its own" in refused("alone", "empty")
    assert "Airflow's remote logging can't be read: ValueError: no such bucket" in refused("other", "unreadable")


def test_callbacks_have_a_log_of_their_own(commands: CommandLine, machines: dict[str, dict[str, str]]) -> None:
    ended = commands.call("logs", "naps/logged", "--callbacks", **machines["worker"])
    assert (ended.exit_code, "no callbacks were called" in ended.stderr) == (2, True)
    log = Path(machines["worker"]["AIRFLOW__LOGGING__BASE_LOG_FOLDER"], "dag_id=naps/run_id=logged/callbacks.log")
    log.write_text('{"timestamp": "now", "level": "info", "event": "called back"}\n')
    assert logs(commands, machines["worker"], "--callbacks") == ["[now] INFO - called back"]
    both = commands.call("logs", "naps/logged", "naps", "--callbacks")
    assert (both.exit_code, "give a TASK, or --callbacks" in both.stderr) == (2, True)
