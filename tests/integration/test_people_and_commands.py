"""People and the command line: what is asked is shown, with the command that answers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from command_line import CommandLine
from waiting import eventually

APPROVAL = Path(__file__).parent.parent / "dags" / "command_line" / "approval.py"

pytestmark = pytest.mark.usefixtures("server")


def printed_command(text: str) -> list[str]:
    """The last command to answer with, as it is printed."""
    *_, command = re.findall(r"answer: temporal-airflow (.*)", text)
    return shlex.split(command)


def test_a_run_asks_and_goes_on_with_the_answers(commands: CommandLine) -> None:
    with commands.start("run", APPROVAL, "--run-id", "asked") as run:
        run.says("""--params '{"pieces": ...}'""")
        assert "count asks: How many?\n  options: OK\n  param pieces: to ship, integer, default 1" in run.stderr
        refused = commands.call("respond", "approval/asked", "count", "--params", '{"pieces": "many"}')
        assert refused.exit_code == 2
        assert "Error: Param 'pieces' can't be 'many': 'many' is not of type 'integer'." in refused.stderr
        early = commands.call("respond", "approval/asked", "approve", "--choose", "Approve")
        assert (early.exit_code, "waits for no answer: its state is none yet" in early.stderr) == (2, True)
        answered = commands.call("respond", "approval/asked", "count", "--params", '{"pieces": 3}', "--user", "ann")
        assert (answered.exit_code, answered.stdout) == (0, "")
        assert "Task count of approval/asked goes on with this answer." in answered.stderr
        run.says("--choose Approve")
        status = commands.call("status", "approval/asked").stdout
        assert "approve  awaiting_input  1" in re.sub(r" {2,}", "  ", status)
        assert "waits for an answer" in status
        assert "approve asks: Ship the order?\n  Nobody can call it back.\n" in status
        assert "  to be answered by: ann\n" in status
        [request] = [
            ti["input_request"]
            for ti in commands.call("status", "approval/asked", "-o", "json").json["task_instances"]
            if "input_request" in ti
        ]
        assert (request["subject"], request["options"]) == ("Ship the order?", ["Approve", "Reject"])
        misspelt = commands.call("respond", "approval/asked", "aprove", "--choose", "Approve")
        assert "no task 'aprove' (did you mean 'approve'?); waiting for an answer: approve." in misspelt.stderr
        command = printed_command(status)
        assert command == ["respond", "approval/asked", "approve", "--choose", "Approve", "--user", "7"]
        assert commands.call(*command).exit_code == 0
        ended = run.ended()
    assert ended.exit_code == 0
    assert "Run success after" in ended.stderr
    eventually("it is refused", lambda: commands.call(*command).exit_code == 2)
    assert "has ended: no task waits for an answer" in commands.call(*command).stderr


def test_an_answer_that_can_not_be_read(commands: CommandLine) -> None:
    ended = commands.call("respond", "approval/asked", "count", "--params", "[1]")
    assert (ended.exit_code, ended.stderr) == (
        2,
        'Error: --params must be a JSON object such as {"key": 1}, not list.\n',
    )


def test_a_private_server_is_named_in_the_command(commands: CommandLine) -> None:
    with commands.start("run", APPROVAL, "--ephemeral") as run:
        run.says("answer: TEMPORAL_ADDRESS=127.0.0.1:")
