"""How a user is told that what is named doesn't exist."""

from __future__ import annotations

import pytest

from temporal_airflow.near_names import absence, absent_task, absent_task_instance, did_you_mean

TASKS = [("extract", -1), ("load", 0), ("load", 1), ("load", 2)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("exctract", ["extract", "load"], " (did you mean 'extract'?)"),
        ("EXTRACT", ["extract", "load"], " (did you mean 'extract'?)"),
        ("extrac", ["extract_b", "extract_a"], " (did you mean 'extract_b' or 'extract_a'?)"),
        ("transform", ["load"], ""),
        ("any", [], ""),
    ],
)
def test_names_that_are_nearly_the_same_are_suggested(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_what_there_is_is_listed() -> None:
    assert absence("No pool", "shrot", {"short", "long"}) == (
        "No pool 'shrot' (did you mean 'short'?); there are: long, short."
    )


def test_there_may_be_nothing() -> None:
    assert absence("No pool", "short", []) == "No pool 'short'; there are: none."


def test_a_long_list_is_cut() -> None:
    said = absence("No DAG", "x", [f"dag_{number:02}" for number in range(50)])
    assert said.endswith("dag_18, dag_19 and 30 more.")


def test_an_unknown_task() -> None:
    assert absent_task("r", {"extract", "load"}, "laod") == (
        "Run 'r' has no task 'laod' (did you mean 'load'?); it has: extract, load."
    )


@pytest.mark.parametrize(("task", "map_index"), TASKS)
def test_a_task_instance_that_is_there(task: str, map_index: int) -> None:
    assert absent_task_instance("r", TASKS, task, map_index) is None


@pytest.mark.parametrize(
    ("task", "map_index", "said"),
    [
        ("extract", 0, "Task 'extract' is not mapped; there is no map index 0 (--map-index)."),
        ("load", 3, "Task 'load' has map indexes 0 to 2; there is no 3 (--map-index)."),
        ("load", -1, "Task 'load' has map indexes 0 to 2; say which (--map-index)."),
        ("laod", 0, "Run 'r' has no task 'laod' (did you mean 'load'?); it has: extract, load."),
    ],
)
def test_a_task_instance_that_is_not_there(task: str, map_index: int, said: str) -> None:
    assert absent_task_instance("r", TASKS, task, map_index) == said
