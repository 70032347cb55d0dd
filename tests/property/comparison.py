"""Plays one case on both sides, step by step, and says where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.state import DagRunState, TaskInstanceState

from .case import Case, End, Outcome, Task, Turn, Wait
from .dags import START, DagBuilder
from .messages import Key, Report, Standing, Started, WaitEnded, WorkerLost
from .ours import MAX_LOST_ATTEMPTS, Ours
from .reference import Reference
from .task_side import WAIT_TIMEOUT, attempt_ended, wait_ended

MOST_STEPS = 2000
RUNNING = DagRunState.RUNNING.value


class DifferenceError(AssertionError):
    """The two sides differ."""


@dataclass
class Out:
    """Something that is out: an attempt, or a trigger that a deferred task waits for.

    Attributes:
        wait: of a trigger.
    """

    started: Started
    wait: Wait | None = None
    times_out: datetime | None = None


@dataclass
class Players:
    """The tasks and triggers of a case: says what ends in which turn, and what it reports.

    Attributes:
        attempts: how many attempts of each task instance have reported.
        lost: how many attempts of each try were lost, before and after it was rescheduled or deferred.
    """

    tasks: dict[str, Task]
    operators: dict[str, Any]
    out: dict[Key, Out] = field(default_factory=dict)
    attempts: Counter[Key] = field(default_factory=Counter)
    lost: Counter[tuple[Key, int]] = field(default_factory=Counter)

    def begin(self, started: tuple[Started, ...]) -> None:
        """Attempts that have begun."""
        for each in started:
            self.out[each.key] = Out(each)

    def reports(self, turn: Turn, now: datetime) -> Iterator[Report]:
        """What is said in a turn."""
        due = [key for key, out in sorted(self.out.items()) if out.times_out is not None and out.times_out < now]
        able = [key for key, out in sorted(self.out.items()) if out.times_out is None]
        first = turn.first % len(able) if able else 0
        for key in due + (able[first:] + able[:first])[: turn.count]:
            yield self._report(key, now)

    def next_timeout(self) -> datetime | None:
        """When the next wait times out."""
        return min((out.times_out for out in self.out.values() if out.times_out is not None), default=None)

    def _report(self, key: Key, now: datetime) -> Report:
        out = self.out.pop(key)
        if out.wait is not None:
            return wait_ended(out.started, out.wait)
        outcome = self._outcome(key)
        if outcome.end == End.LOSE:
            this_try = (key, out.started.try_number)
            self.lost[this_try] += 1
            for_good = self.lost[this_try] >= MAX_LOST_ATTEMPTS
            if not for_good:
                self.out[key] = out
            return WorkerLost(key, out.started.try_number, for_good)
        task = self.tasks[key.task_id]
        report = attempt_ended(task, self.operators[key.task_id], out.started, outcome, now)
        if report.state.value == "deferred":
            times_out = now + timedelta(seconds=WAIT_TIMEOUT) if outcome.number == Wait.TIMED_OUT else None
            self.out[key] = Out(out.started, wait=Wait(outcome.number), times_out=times_out)
        return report

    def _outcome(self, key: Key) -> Outcome:
        outcomes = self.tasks[key.task_id].outcomes
        index = max(key.map_index, 0) + self.attempts[key]
        self.attempts[key] += 1
        return outcomes[index] if index < len(outcomes) else Outcome()


def check(case: Case, reference: Reference) -> int:
    """Play a case on both sides.

    Returns:
        How many steps it took.

    Raises:
        DifferenceError: where they first differ.
    """
    builder = DagBuilder(case)
    dag = builder.build()
    serialized = DagSerialization.to_dict(dag)
    reference.open(serialized, START)
    try:
        ours = Ours(serialized, START, case.step_work)
    finally:
        reference.answer()  # also if ours has raised: the next case must not be given the answer to this one
    try:
        return _play(case, Players(builder.tasks, dag.task_dict), ours, reference)
    finally:
        ours.dispose()


def _play(case: Case, players: Players, ours: Ours, reference: Reference) -> int:
    turns = iter(case.turns)
    now = START
    reports: list[Report] = []
    for number in range(MOST_STEPS):
        reference.step(now, reports)
        try:
            mine = ours.step(now, reports)
        finally:
            theirs = reference.answer()
        assert theirs is not None
        if case.limited and _decided_by_the_database(mine, theirs):
            return number
        if _decided_against_itself(theirs, players, reports):
            return number
        _compare(mine, theirs, f"step {number}, after {reports}")
        players.begin(mine.started)
        if mine.state != RUNNING and not players.out:
            return number
        turn = next(turns, Turn(count=len(players.out)))
        moments = [moment for moment in (mine.wakes_at, players.next_timeout()) if moment is not None]
        now += timedelta(seconds=turn.seconds)
        if all(out.times_out is not None for out in players.out.values()):
            if not moments:
                return number  # both wait for ever
            now = max(now, min(moments) + timedelta(seconds=1))
        if turn.anew:
            ours.go_on_from_snapshot(now)
        reports = list(players.reports(turn, now))
    raise DifferenceError(f"no end after {MOST_STEPS} steps")


def _decided_by_the_database(mine: Standing, theirs: Standing) -> bool:
    """Whether the sides chose differently among what Airflow orders alike (weight, map index): nobody's fault."""

    def ranks(standing: Standing) -> Counter[tuple[int | None, int]]:
        return Counter((theirs.priorities.get(each.key), each.key.map_index) for each in standing.started)

    return mine.started != theirs.started and ranks(mine) == ranks(theirs) and _keys(mine) != _keys(theirs)


def _decided_against_itself(theirs: Standing, players: Players, reports: Sequence[Report]) -> bool:
    """Whether Airflow did what can't be meant, to be neither matched nor foretold.

    Its check for deadlocks asks about tasks that run, or have just been resumed by their trigger, in the order of the
    database, and may find one of them skipped by a branch; a run whose last task is expanded and skipped in one pass
    ends before the other map indexes run. Users read of both in ``docs/reference/airflow-features.md``.
    """
    at_work = [key for key, out in players.out.items() if out.wait is None] + _resumed(reports)
    if any(theirs.rows[key].state == TaskInstanceState.SKIPPED for key in at_work):
        return True
    return theirs.state != RUNNING and any(row.state == TaskInstanceState.SCHEDULED for row in theirs.rows.values())


def _resumed(reports: Sequence[Report]) -> list[Key]:
    """What goes on in a process after its trigger."""
    return [report.key for report in reports if isinstance(report, WaitEnded) and report.state is None]


def _keys(standing: Standing) -> set[Key]:
    return {each.key for each in standing.started}


def _compare(mine: Standing, theirs: Standing, when: str) -> None:
    lines = [f"run: ours {mine.state}, Airflow's {theirs.state}"] if mine.state != theirs.state else []
    lines += [
        f"{key}: ours {mine.rows.get(key)}, Airflow's {theirs.rows.get(key)}"
        for key in sorted(mine.rows.keys() | theirs.rows.keys())
        if mine.rows.get(key) != theirs.rows.get(key)
    ]
    only_mine, only_theirs = set(mine.started) - set(theirs.started), set(theirs.started) - set(mine.started)
    lines += [f"only ours started {each}" for each in sorted(only_mine, key=repr)]
    lines += [f"only Airflow started {each}" for each in sorted(only_theirs, key=repr)]
    if mine.state == RUNNING and mine.wakes_at != theirs.wakes_at:
        lines.append(f"ours wakes at {mine.wakes_at}, Airflow's at {theirs.wakes_at}")
    if lines:
        raise DifferenceError("\n".join([when, *lines]))
