"""Whatever a DAG looks like and whatever its tasks do: after every step our engine stands where stock Airflow stands.

``search.py`` says how. The cases here are the same each time, so that a change is judged by itself; new ones are sought
by ``uv run python -m tests.property.search --cases 20000``, and what it found is kept below.
"""

from __future__ import annotations

import os

import pytest

from .case import Case, End, Group, Kind, Outcome, Over, Task, Turn, Wait
from .comparison import check
from .reference import Reference
from .search import search

# CI asks for 500
CASES = int(os.environ.get("PROPERTY_CASES", "150"))
SEED = 1

MAPPED_BRANCH = Case(
    nodes=(Task(kind=Kind.BRANCH, over=Over(length=2)), Task(), Task(after=(0,), over=Over(length=1))), turns=(Turn(),)
)
REMOVED = Case(
    nodes=(
        Task(over=Over(length=2), outcomes=(Outcome(End.REMOVE), Outcome(End.RESCHEDULE, 0))),
        Task(kind=Kind.EMPTY, after=(0,)),
        Task(),
        Task(after=(0, 1), over=Over(length=2)),
    )
)
NOTHING_TO_MAP_OVER = Case(
    nodes=(
        Task(),
        Task(outcomes=(Outcome(End.FAIL),)),
        *[Task()] * 7,
        Group(members=(Task(),), after=(1,)),
        Task(over=Over(length=3, node=10)),
        Task(outcomes=(Outcome(End.SKIP),)),
        Group(members=(Group(members=(Task(after=(12,)),)),), over=Over(node=11)),
    )
)
FAILS_AMID_A_PASS = Case(
    nodes=(
        Task(kind=Kind.BRANCH),
        Task(outcomes=(Outcome(End.FAIL),)),
        Task(outcomes=(Outcome(End.SKIP),)),
        Task(over=Over(node=1)),
        Task(after=(0, 3), over=Over(node=2)),
    ),
    turns=(Turn(first=1, count=2),),
)
ENDED_AS_FAILED_BY_ITS_TRIGGER = Case(
    nodes=(Task(outcomes=(Outcome(End.DEFER, Wait.ENDED_FAILED),)), Task(), Task(after=(1,))),
    turns=(Turn(), Turn()),
    fail_fast=True,
)


@pytest.mark.timeout(900)
def test_every_step_of_any_dag_is_airflows(reference: Reference) -> None:
    searched = search(reference, CASES, SEED)
    assert searched.found is None, str(searched.found)


def test_a_poke_is_due_at_its_very_moment_and_a_retry_is_not(reference: Reference) -> None:
    retries = Task(retries=1, outcomes=(Outcome(End.FAIL),))
    pokes = Task(outcomes=(Outcome(End.RESCHEDULE, 0), Outcome(End.RESCHEDULE, 1)))
    assert check(Case(nodes=(retries, *[Task()] * 8, pokes)), reference) == 4


def test_one_map_index_of_a_branch_skips_while_others_run(reference: Reference) -> None:
    check(MAPPED_BRANCH, reference)


def test_each_success_counts_once_another_map_index_was_removed(reference: Reference) -> None:
    check(REMOVED, reference)


def test_there_is_nothing_to_map_over_as_soon_as_what_is_mapped_over_has_failed(reference: Reference) -> None:
    check(NOTHING_TO_MAP_OVER, reference)


def test_what_fails_in_a_pass_before_it_is_expanded_is_seen_by_the_next_pass(reference: Reference) -> None:
    check(FAILS_AMID_A_PASS, reference)


def test_a_failure_that_a_trigger_reports_stops_no_other_task(reference: Reference) -> None:
    check(ENDED_AS_FAILED_BY_ITS_TRIGGER, reference)
