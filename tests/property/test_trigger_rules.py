"""Every trigger rule over every combination of its upstreams' ends, generated: what we make of it is Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import pytest
from airflow.task.trigger_rule import TriggerRule

from .case import Case, End, Group, Kind, Node, Outcome, Over, Task
from .comparison import check
from .reference import Reference

UPSTREAM_FAILED = None
"""An end that no task has by itself."""

ENDS = (End.SUCCESS, End.FAIL, End.SKIP, End.REMOVE, UPSTREAM_FAILED)
OWN_ENDS = tuple(end for end in ENDS if end is not None)
Ends = tuple[End | None, ...]


def _combinations(ends: tuple[End | None, ...], most: int = 3) -> Iterator[Ends]:
    """Every multiset: an upstream has no place among the others."""
    for count in range(1, most + 1):
        yield from combinations_with_replacement(ends, count)


def _upstream(end: End | None, kind: Kind = Kind.PLAIN) -> Task:
    """Node 0 is a task that fails."""
    if end is None:
        return Task(kind=kind, after=(0,))
    return Task(kind=kind, outcomes=(Outcome(end),))


def _joins(upstreams: tuple[int, ...]) -> tuple[Task, ...]:
    """One task of each rule, and one teardown of each kind, after the same upstreams."""
    rules = tuple(Task(rule=rule, after=upstreams) for rule in sorted(TriggerRule))
    return (*rules, Task(kind=Kind.TEARDOWN, after=upstreams), Task(kind=Kind.FAILING_TEARDOWN, after=upstreams))


def _plain(ends: Ends) -> Case:
    upstreams = tuple(_upstream(end) for end in ends)
    numbers = tuple(range(1, len(ends) + 1))
    return Case(nodes=(_upstream(End.FAIL), *upstreams, *_joins(numbers)))


def _after_setup(setup: End, ends: Ends) -> Case:
    """A setup and its teardown around the upstreams: relative of the joins, and upstream of some."""
    upstreams = tuple(Task(after=(0, 1)) if end is None else Task(after=(1,), outcomes=(Outcome(end),)) for end in ends)
    numbers = tuple(range(2, len(ends) + 2))
    joins = _joins(numbers)
    teardown = Task(kind=Kind.TEARDOWN, setups=(1,), after=tuple(range(len(ends) + 2, len(ends) + 2 + len(joins))))
    direct = tuple(Task(after=(1, number)) for number in numbers)
    return Case(nodes=(_upstream(End.FAIL), _upstream(setup, Kind.SETUP), *upstreams, *joins, teardown, *direct))


def _mapped(ends: Ends) -> Case:
    mapped = Task(over=Over(length=len(ends)), outcomes=tuple(Outcome(end) for end in ends if end is not None))
    return Case(nodes=(_upstream(End.FAIL), mapped, *_joins((1,))))


def _mapped_group(ends: Ends) -> Case:
    """The joins inside the mapped group see one upstream each, those after it all."""
    upstream = Task(outcomes=tuple(Outcome(end) for end in ends if end is not None))
    inner = _joins((2,))
    group: Node = Group(members=(upstream, *inner), over=Over(length=len(ends)))
    return Case(nodes=(_upstream(End.FAIL), group, *_joins((2,))))


def _cases() -> Iterator[tuple[str, Case]]:
    for ends in _combinations(ENDS):
        yield f"upstreams {ends}", _plain(ends)
    for setup in OWN_ENDS:
        for ends in _combinations(ENDS, most=1):
            yield f"setup {setup}, upstreams {ends}", _after_setup(setup, ends)
    for ends in _combinations(OWN_ENDS):
        yield f"mapped upstream {ends}", _mapped(ends)
        yield f"upstream in a mapped group {ends}", _mapped_group(ends)


@pytest.mark.timeout(900)
def test_every_rule_over_every_combination_of_ends_is_airflows(reference: Reference) -> None:
    differences = []
    for name, case in _cases():
        try:
            check(case, reference)
        except AssertionError as error:
            differences.append(f"{name}:\n{error}")
    assert not differences, "\n\n".join(differences)
