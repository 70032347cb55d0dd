"""``temporal-airflow pools``: the commands of ``airflow pools``, with their formats and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import CommandLine
from waiting import eventually

pytestmark = pytest.mark.usefixtures("server")


def listed(commands: CommandLine, name: str) -> dict[str, object] | None:
    pools = commands.call("pools", "list", "-o", "json").json
    return next((pool for pool in pools if pool["pool"] == name), None)


def test_a_pool_from_its_making_to_its_end(commands: CommandLine) -> None:
    made = commands.call("pools", "set", "papers", "5", "Of the paper mill", "--include-deferred")
    assert (made.exit_code, made.stdout) == (0, "Pool papers created\n")
    eventually("it is listed", lambda: listed(commands, "papers"))
    assert listed(commands, "papers") == {
        "pool": "papers",
        "slots": "5",
        "description": "Of the paper mill",
        "include_deferred": "True",
        "team_name": None,
    }
    assert commands.call("pools", "set", "papers", "-1", "No limit").exit_code == 0
    assert [pool["slots"] for pool in commands.call("pools", "get", "papers", "--output", "json").json] == ["-1"]
    assert "papers" in commands.call("pools", "get", "papers").stdout
    misspelt = commands.call("pools", "get", "paper")
    assert "Pool paper does not exist (did you mean 'papers'?); there are: default_pool, papers" in misspelt.stderr
    ended = commands.call("pools", "delete", "papers")
    assert (ended.exit_code, ended.stdout) == (0, "Pool papers deleted\n")
    gone = commands.call("pools", "get", "papers")
    assert (gone.exit_code, "Pool papers does not exist" in gone.stderr) == (2, True)


def test_the_default_pool_is_there_as_airflow_has_it(commands: CommandLine) -> None:
    assert listed(commands, "default_pool") == {
        "pool": "default_pool",
        "slots": "128",
        "description": "Default pool",
        "include_deferred": "False",
        "team_name": None,
    }


def test_pools_travel_in_the_file_that_airflow_writes(commands: CommandLine, tmp_path: Path) -> None:
    file, copy = tmp_path / "pools.json", tmp_path / "copy.json"
    pools = {
        "inks": {"slots": 3, "description": "Colours", "include_deferred": True},
        "woods": {"slots": 2, "description": "", "include_deferred": False},
    }
    file.write_text(json.dumps(pools))
    assert commands.call("pools", "import", file).stdout == "Uploaded 2 pool(s)\n"
    eventually("both are listed", lambda: listed(commands, "inks") and listed(commands, "woods"))
    ended = commands.call("pools", "export", copy)
    exported = json.loads(copy.read_text())
    assert ended.stdout == f"Exported {len(exported)} pools to {copy}\n"
    assert {name: exported[name] for name in pools} == pools
    assert copy.read_text() == json.dumps(exported, sort_keys=True, indent=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "bad", "many", "words"), "Invalid value for `slots`: many"),
        (("set", "bad", "-2", "words"), "Invalid value for `slots`: -2. -1 is without limit."),
        (("set", " ", "1", "words"), "Pool name shouldn't be empty"),
        (("set", "x" * 257, "1", "words"), "Pool name cannot be more than 256 characters"),
        (("get", "nowhere"), "Pool nowhere does not exist"),
        (("delete", "nowhere"), "Pool nowhere does not exist"),
        (("delete", "default_pool"), "default_pool cannot be deleted"),
        (("import", "no/such/file"), "Missing pools file no/such/file"),
        (("import", "{scratch}/bad.json"), "Invalid json file: "),
        (("import", "{scratch}/half.json"), "Failed to update pool(s): half"),
        (("import", "{scratch}/negative.json"), "Invalid value for `slots`: -7"),
        (("export", "no/such/folder/file"), "can't be written to no/such/folder/file"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    commands: CommandLine, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "half.json").write_text('{"half": {"slots": 1}}')
    (tmp_path / "negative.json").write_text('{"negative": {"slots": -7, "description": ""}}')
    ended = commands.call("pools", *(argument.format(scratch=tmp_path) for argument in arguments))
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
