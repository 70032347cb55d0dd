"""A run that can't be started as asked for: its conf, logical date or run id."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from refused_commands import Refusals
from temporal_airflow.client import now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import LoadDagInput
from temporal_airflow.tasks.slots import ProcessTemplate

DAGS_FOLDER = Path(__file__).parents[2] / "dags"


@pytest.mark.parametrize(
    ("conf", "problem"),
    [
        ("{nope", "--conf is not JSON"),
        ('{"a": NaN}', "--conf is not JSON: NaN"),
        ("[1]", '--conf must be a JSON object such as {"key": 1}, not list'),
        ("@/nowhere/conf.json", "The file '/nowhere/conf.json' of --conf can't be read: [Errno 2] No such file"),
        (f"@{sys.executable}", f"The file '{sys.executable}' of --conf can't be read: 'utf-8' codec"),
    ],
)
def test_a_bad_conf(refused_at_once: Refusals, conf: str, problem: str) -> None:
    assert problem in refused_at_once.run("good.py", "--conf", conf)


def test_a_conf_that_does_not_fit_the_params(refused: Refusals) -> None:
    said = refused.run("params.py", "--conf", '{"count": "many"}')
    assert "The conf doesn't fit the params of DAG 'params'" in said
    assert "param count: 'many' is not of type 'integer'" in said


def test_a_conf_that_is_too_large(refused: Refusals, tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text('{"data": "' + "x" * 200_000 + '"}')
    assert "The conf is too large: 200,012 bytes of JSON" in refused.run("good.py", "--conf", f"@{conf}")


@pytest.mark.parametrize("date", ["yesterday", "", "2026-02-30", "0001-01-01T00:00:00+10:00"])
def test_a_bad_logical_date(refused_at_once: Refusals, date: str) -> None:
    said = refused_at_once.run("good.py", "--logical-date", date)
    assert f"--logical-date {date!r} is not a date; write it like 2026-01-31T06:00:00+00:00" in said


@pytest.mark.parametrize(
    ("run_id", "problem"),
    [
        ("scheduled__2026-01-01T00:00:00+00:00", "is reserved for scheduled runs; choose another"),
        ("a/b", "must not contain '..' or '/'"),
    ],
)
def test_a_reserved_run_id_or_a_path(refused: Refusals, run_id: str, problem: str) -> None:
    assert problem in refused.run("good.py", "--run-id", run_id)


@pytest.mark.parametrize(
    ("run_id", "problem"),
    [
        ("two words", "Choose one of letters, digits and the characters _.~:+-"),
        ("", "must not be empty; leave it out to have one made"),
        ("x" * 249, "has 249 characters, the limit is 248"),
    ],
    ids=["space", "empty", "long"],
)
async def test_any_other_bad_run_id(template: ProcessTemplate, run_id: str, problem: str) -> None:
    path = DAGS_FOLDER / "command_line" / "flaky.py"
    with pytest.raises(InputError, match=re.escape(problem)):
        await load_dag(template, LoadDagInput(path=str(path), run_id=run_id, now=now()))


def test_a_run_id_of_a_run_that_has_ended(ended_run: str, refused: Refusals) -> None:
    said = refused.run("good.py", "--run-id", "ended")
    assert "Run 'ended' of DAG 'good' exists already: success. Choose another --run-id" in said


def test_a_run_id_of_a_run_that_is_open(waiting_run: str, refused: Refusals) -> None:
    said = refused.call("trigger", refused.dags / "good.py", "--run-id", "open")
    assert "Run 'open' of DAG 'good' exists already: running. Choose another --run-id" in said


@pytest.mark.usefixtures("open_run")
def test_a_workflow_id_that_belongs_to_another_run(refused: Refusals) -> None:
    (refused.dags / "a.py").write_text("from airflow.sdk import DAG\nwith DAG('a'):\n    pass\n")
    said = refused.run("a.py", "--run-id", "b-c")
    assert "would have the workflow id 'dag-a-b-c', which belongs to run 'c' of DAG 'a-b'" in said
    assert "Choose another run id" in said
