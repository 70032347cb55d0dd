"""Arguments that no command takes, and the help that says which it does."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from command_line import CommandLine
from refused_commands import Refusals

COMMANDS = ("run", "worker", "trigger", "status", "list", "logs", "xcom", "cancel", "dev", "doctor", "pools")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "a.py", "b.py"),
        ("run", "a.py", "--ouput", "json"),
        ("run", "a.py", "--output", "xml"),
        ("go",),
    ],
    ids=" ".join,
)
def test_wrong_usage(refused_at_once: Refusals, arguments: tuple[str, ...]) -> None:
    assert "Try 'temporal-airflow" in refused_at_once.call(*arguments)


def test_json_options_without_json_output(refused_at_once: Refusals) -> None:
    assert "--xcom adds to the JSON output: use it with --output json" in refused_at_once.run("good.py", "--xcom")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(commands: CommandLine, command: str) -> None:
    ended = commands.call(command, "--help")
    assert ended.exit_code == 0
    assert f"Usage: temporal-airflow {command}" in ended.stdout


def test_the_program_tells_its_version(commands: CommandLine) -> None:
    ended = commands.call("--version")
    assert (ended.exit_code, ended.stdout) == (0, f"temporal-airflow {version('temporal-airflow')}\n")


def test_the_program_explains_itself(commands: CommandLine) -> None:
    with commands.start("--help") as command:
        ended = command.ended()
    assert ended.exit_code == 0
    assert all(name in ended.stdout for name in COMMANDS)
    assert "Exit codes: 0 success, 1 the run failed, 2 wrong usage or input, 3 no server, 130" in ended.stdout
