"""Draws cases: DAGs up to 40 tasks, what their tasks do, and in which order they end.

Most are small, because most mistakes show in small ones and many small ones cost as much as few large ones.
"""

from __future__ import annotations

from airflow.task.trigger_rule import TriggerRule
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from .case import Case, End, Group, Kind, Node, Outcome, Over, Task, Turn, Wait

MOST_TASKS = 40
SIZES = [4] * 4 + [8] * 4 + [12] * 2 + [MOST_TASKS]
"""Up to how many tasks, evenly; a case of six costs some 0.2 s, one of forty ten times as much."""

DEEPEST = 3

KINDS = st.sampled_from([Kind.PLAIN] * 6 + list(Kind))
RULES = st.sampled_from([TriggerRule.ALL_SUCCESS] * 4 + sorted(TriggerRule))
ENDS = st.sampled_from([End.SUCCESS] * 4 + [End.FAIL] * 2 + list(End))
LENGTHS = st.integers(0, 3)
TURNS = st.builds(
    Turn,
    first=st.integers(0, 9),
    count=st.integers(1, 4),
    seconds=st.sampled_from([1, 61, 400]),
    anew=st.integers(0, 3).map(lambda number: number == 3),
)


@st.composite
def outcomes(draw: DrawFn) -> Outcome:
    """What one attempt does."""
    end = draw(ENDS)
    return Outcome(end, int(draw(st.sampled_from(list(Wait)) if end == End.DEFER else LENGTHS)))


class _Draft:
    """A DAG while it is being drawn.

    Attributes:
        earlier: numbers of finished nodes.
        producers: numbers of tasks whose output can be mapped over.
    """

    def __init__(self, draw: DrawFn, tasks: int, limited: bool) -> None:
        self._draw = draw
        self._left = tasks
        self._limited = limited
        self._number = 0
        self._earlier: list[int] = []
        self._producers: list[int] = []
        self._setups: list[int] = []

    def nodes(self, depth: int = 0, mapped: bool = False) -> tuple[Node, ...]:
        """Nodes of the DAG or of a group."""
        drawn: list[Node] = []
        while self._left and not (depth and drawn and self._draw(st.integers(0, 2)) == 0):
            number = self._number
            self._number += 1
            is_group = depth < DEEPEST and self._left > 1 and self._draw(st.integers(0, 5)) == 5
            drawn.append(self._group(depth, mapped) if is_group else self._task(number, mapped))
            self._earlier.append(number)
        return tuple(drawn)

    def _some(self, numbers: list[int], most: int = 3) -> tuple[int, ...]:
        if not numbers:
            return ()
        near = numbers[-8:]  # a DAG whose tasks hang together says more than one of loose pairs
        return tuple(sorted(self._draw(st.sets(st.sampled_from(near), max_size=most))))

    def _over(self, mapped: bool) -> Over | None:
        if mapped or self._draw(st.integers(0, 3)) != 3:
            return None
        node = self._draw(st.sampled_from([None, *self._producers[-5:]]))
        literal = node is None or self._draw(st.integers(0, 3)) == 3
        return Over(self._draw(LENGTHS) if literal else None, node)

    def _task(self, number: int, mapped: bool) -> Task:
        draw = self._draw
        self._left -= 1
        kind = draw(KINDS)
        teardown = kind in (Kind.TEARDOWN, Kind.FAILING_TEARDOWN)
        task = Task(
            kind=kind,
            after=self._some(self._earlier),
            rule=draw(RULES),
            retries=draw(st.sampled_from([0, 0, 1, 2])),
            over=None if kind == Kind.EMPTY else self._over(mapped),
            setups=self._some(self._setups, 2) if teardown else (),
            weight=draw(st.integers(1, 100)) if self._limited else 1,
            limit=draw(st.sampled_from([None, None, 1, 2])) if self._limited else None,
            outcomes=tuple(draw(st.lists(outcomes(), max_size=4))),
        )
        if kind == Kind.PLAIN and not mapped:
            self._producers.append(number)
        if kind == Kind.SETUP:
            self._setups.append(number)
        return task

    def _group(self, depth: int, mapped: bool) -> Group:
        after = self._some(self._earlier)
        over = self._over(mapped)
        return Group(members=self.nodes(depth + 1, mapped or over is not None), after=after, over=over)


@st.composite
def cases(draw: DrawFn) -> Case:
    """A case."""
    size = draw(st.sampled_from(SIZES))
    tasks = draw(st.integers(1, size))
    limit = draw(st.sampled_from(["none", "none", "none", "dag", "task"]))
    nodes = _Draft(draw, tasks, limited=limit == "task").nodes()
    return Case(
        nodes=nodes,
        turns=tuple(draw(st.lists(TURNS, max_size=12))),
        max_active_tasks=draw(st.integers(1, 4)) if limit == "dag" else 1000,
        fail_fast=draw(st.integers(0, 7)) == 7,
        step_work=draw(st.sampled_from([1000, 1, 2, 3, 7])),
    )
