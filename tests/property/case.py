"""What one case is: a DAG, what its tasks do, and in which order they end. Plain values whose ``repr`` is a program.

Nodes (tasks and groups) are numbered in the order in which they are written, a group before its members; ``after``,
``setups`` and ``over`` name earlier nodes by these numbers, so that every case is without cycles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum, IntEnum

from airflow.task.trigger_rule import TriggerRule


class _Named(Enum):
    """A member is printed as the program that names it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Kind(_Named):
    """What a task is."""

    PLAIN = "plain"
    EMPTY = "empty"
    BRANCH = "branch"
    SHORT_CIRCUIT = "short circuit"
    SHORT_CIRCUIT_DIRECT = "short circuit that skips its direct successors only"
    SETUP = "setup"
    TEARDOWN = "teardown"
    FAILING_TEARDOWN = "teardown whose failure fails the run"


class End(_Named):
    """What an attempt does."""

    SUCCESS = "success"
    FAIL = "fail"
    FAIL_FOR_GOOD = "fail without retry"
    SKIP = "skip"
    REMOVE = "end as removed"
    RESCHEDULE = "reschedule"
    DEFER = "defer"
    LOSE = "get lost with its worker"


class Wait(IntEnum):
    """How the wait of a deferred task ends; ``number`` of its outcome."""

    RESUMED = 0
    FAILED = 1
    TIMED_OUT = 2
    ENDED_SUCCESS = 3
    ENDED_FAILED = 4
    ENDED_SKIPPED = 5


def _shown(value: object) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


class _Brief:
    """Prints only what differs from the default."""

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={_shown(getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Outcome(_Brief):
    """One attempt.

    Attributes:
        number: length of what is returned, the branches that are followed (bits), whether to go on (not 0), minutes
            until the next poke, how a wait ends (:class:`Wait`), by what the attempt does.
    """

    end: End = End.SUCCESS
    number: int = 2


@dataclass(frozen=True, repr=False)
class Over(_Brief):
    """What is mapped over: a list of ``length`` literals, the output of task ``node``, or the product of both."""

    length: int | None = None
    node: int | None = None


@dataclass(frozen=True, repr=False)
class Task(_Brief):
    """A task.

    Attributes:
        outcomes: of its attempts; map index ``i`` starts with the ``i``-th; beyond them attempts succeed.
        setups: of a teardown.
        weight: priority weight where tasks compete.
        limit: ``max_active_tis_per_dagrun``.
    """

    kind: Kind = Kind.PLAIN
    after: tuple[int, ...] = ()
    rule: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: int = 0
    over: Over | None = None
    setups: tuple[int, ...] = ()
    weight: int = 1
    limit: int | None = None
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, repr=False)
class Group(_Brief):
    """A task group, mapped or not."""

    members: tuple[Node, ...] = ()
    after: tuple[int, ...] = ()
    over: Over | None = None


Node = Task | Group


@dataclass(frozen=True, repr=False)
class Turn(_Brief):
    """One step: ``count`` of what is out ends, beginning with the ``first``, ``seconds`` after the last step.

    Attributes:
        anew: whether our engine goes on from a snapshot of itself; makes no difference.
    """

    first: int = 0
    count: int = 1
    seconds: int = 1
    anew: bool = False


@dataclass(frozen=True, repr=False)
class Case(_Brief):
    """A DAG and what happens to its run.

    Attributes:
        turns: after them everything that is out ends at once, step after step.
        step_work: how much our engine does in one step; makes no difference.
    """

    nodes: tuple[Node, ...] = ()
    turns: tuple[Turn, ...] = ()
    max_active_tasks: int = 1000
    fail_fast: bool = False
    step_work: int = 1000

    @property
    def task_count(self) -> int:
        """How many tasks are written down."""
        return sum(isinstance(node, Task) for node in walk(self.nodes))

    @property
    def limited(self) -> bool:
        """Whether tasks compete for places to run in."""
        return self.max_active_tasks < 1000 or any(
            isinstance(node, Task) and node.limit is not None for node in walk(self.nodes)
        )


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """All nodes in the order of their numbers."""
    for node in nodes:
        yield node
        if isinstance(node, Group):
            yield from walk(node.members)
