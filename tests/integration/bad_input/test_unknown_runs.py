"""Runs, tasks, tries and XComs that aren't there, or are past what is asked of them."""

from __future__ import annotations

import pytest

from refused_commands import Refusals


@pytest.mark.parametrize("command", [("status",), ("cancel",), ("logs", "one"), ("xcom", "one")], ids=lambda c: c[0])
@pytest.mark.parametrize(
    ("run", "hint"),
    [
        ("nothing/like-it", ". "),
        ("good/endet", " (did you mean 'good/ended'"),
        ("dag-god-ended", " (did you mean 'dag-good-ended'"),
    ],
)
@pytest.mark.usefixtures("ended_run")
def test_an_unknown_run(refused: Refusals, command: tuple[str, ...], run: str, hint: str) -> None:
    name, *task = command
    said = refused.call(name, run, *task)
    assert f"No run {run!r} is known to the server{hint}" in said
    assert "`temporal-airflow list` shows the runs there are." in said


@pytest.mark.parametrize("run", ["", "good/", "/ended"])
def test_half_a_run(refused: Refusals, run: str) -> None:
    assert "dag_id/run_id" in refused.call("status", run)


@pytest.mark.parametrize("command", ["logs", "xcom"])
def test_an_unknown_task(ended_run: str, refused: Refusals, command: str) -> None:
    assert "Run 'ended' has no task 'two'; it has: one" in refused.call(command, ended_run, "two")


@pytest.mark.parametrize("command", ["logs", "xcom"])
def test_an_unknown_map_index(ended_run: str, refused: Refusals, command: str) -> None:
    said = refused.call(command, ended_run, "one", "--map-index", "3")
    assert "Task 'one' is not mapped; there is no map index 3 (--map-index)" in said


def test_an_unknown_state(refused: Refusals) -> None:
    said = refused.call("list", "--state", "faild")
    assert "Runs have no state 'faild' (did you mean 'failed'?); there are: failed, queued, running, success." in said


def test_a_bad_since(refused: Refusals) -> None:
    assert "--since 'yesterday' is neither a duration nor a moment" in refused.call("list", "--since", "yesterday")


def test_an_unknown_try(ended_run: str, refused: Refusals) -> None:
    assert "Task 'one' has had 1 try; there is no try 2" in refused.call("logs", ended_run, "one", "--try", "2")


def test_an_unknown_xcom(ended_run: str, refused: Refusals) -> None:
    said = refused.call("xcom", ended_run, "one", "--key", "extra")
    assert "Task 'one' of 'good/ended' has no XCom 'extra'; it has: return_value" in said


def test_a_run_that_has_ended_can_not_be_cancelled(ended_run: str, refused: Refusals) -> None:
    assert "Run 'good/ended' has ended already: success" in refused.call("cancel", ended_run)
