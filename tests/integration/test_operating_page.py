"""The page on operating runs: its commands, typed in the order in which it prints them, and its program."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio.client import Client

from command_line import CommandLine
from printed_pages import HOW_TO, printed, printed_lines
from temporal_airflow.data_converter import DATA_CONVERTER
from waiting import eventually

PAGE = HOW_TO / "operating-runs.md"
FOLDER = Path(__file__).parent.parent / "dags" / "command_line"


def printed_commands() -> Iterator[list[str]]:
    for program, *arguments in printed_lines(PAGE):
        assert program == "temporal-airflow"
        yield arguments


def status(commands: CommandLine, run: str) -> dict[str, Any]:
    shown: dict[str, Any] = commands.call("status", run, "-o", "json").json
    return shown


def wait_until_ended(commands: CommandLine, run: str) -> dict[str, Any]:
    eventually(f"{run} ends", lambda: status(commands, run)["state"] in {"success", "failed"})
    return status(commands, run)


async def test_what_the_page_prints_can_be_done(commands: CommandLine, server: Client) -> None:
    ours = Client(server.service_client, namespace=server.namespace, data_converter=DATA_CONVERTER)
    with commands.start("worker", "--dags-folder", FOLDER) as worker:
        worker.says("Worker ready")
        commands.call("trigger", "orders", "--run-id", "monday", "--wait")
        said = {}
        for arguments in printed_commands():
            ended = commands.call(*arguments)
            assert ended.exit_code == 0, f"{arguments}: {ended.stderr}"
            said[shlex.join(arguments)] = ended.stdout + ended.stderr
            wait_until_ended(commands, "orders/monday")
        tuesday, wednesday = (wait_until_ended(commands, f"orders/{day}") for day in ("tuesday", "wednesday"))
        misspelt = [commands.call(name, "ordres") for name in ("pause", "unpause")]
        namespace: dict[str, Any] = {}
        [program] = printed(PAGE, "python")
        exec(compile(program, PAGE.name, "exec"), namespace)  # the page's own program
        cleared = await namespace["load_again"](ours)
        monday = wait_until_ended(commands, "orders/monday")

    assert "orders monday failed" in said["status orders/monday"]
    assert (
        "Would be cleared: load[1] (failed), report (upstream_failed)."
        in said["clear orders/monday load --map-index 1 --downstream --dry-run"]
    )
    assert "paused" in said["status orders/tuesday"]
    assert tuesday["state"] == "success"
    assert wednesday["state"] == "failed"
    assert [ended.exit_code for ended in misspelt] == [2, 2]
    assert "No DAG 'ordres' in" in misspelt[0].stderr
    assert "(did you mean 'orders'" in misspelt[0].stderr
    assert "no DAG is paused with id 'ordres'; there are: none." in misspelt[1].stderr
    assert cleared == [("load", 1), ("report", -1)]
    assert {ti["task_id"]: ti["try_number"] for ti in monday["task_instances"] if ti["map_index"] == 1} == {"load": 4}
