"""Whether it is chance what becomes of a run: plays what its attempts did again, ended in other orders.

Airflow decides by what it sees first: a join of a failed and a skipped task is ``upstream_failed`` or ``skipped``. Such
a DAG agrees with its record on a good day only, so no DAG of the corpus may be of that kind. Our engine is what plays;
that it decides as Airflow does, whatever the order, is shown in ``tests/property``. It must not know how a run was run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from airflow.utils.state import TaskInstanceState

from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AskForSlots,
    AssetEventsPublished,
    AssetsRegistered,
    AttemptLost,
    AwaitTurn,
    Command,
    Event,
    InputGiven,
    PastRunsKnown,
    PublishAssetEvents,
    RegisterAssets,
    SlotsGranted,
    StartTask,
    StartTrigger,
    StepAgain,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TimePassed,
    TriggerEnded,
    TurnCome,
    WakeAt,
    WatchPastRuns,
)
from temporal_airflow.models import InputResponse, TaskExecutionResult
from temporal_airflow.workflows.activities import activity_id

from . import outcome
from .ends import Ends

TICK = timedelta(milliseconds=1)
MOST_STEPS = 5000
ABSENT = "absent"


Standing = dict[str, str]
"""State and try of each task instance, and the state of the run."""

Order = Callable[[Sequence[TaskKey]], Sequence[TaskKey]]
"""Chooses what ends next of all that can."""


class Play:
    """One run, played in one order.

    Attributes:
        raced: what could end while something else could, too.
    """

    def __init__(self, ends: Ends, order: Order) -> None:
        self._ends, self._order = ends, order
        self._now = ends.began
        self.raced: set[TaskKey] = set()
        self._engine = DagRunEngine.open(ends.execution, self._now)
        self._out: dict[TaskKey, Event] = {}
        self._at_once: list[Event] = []
        self._wake: datetime | None = None
        self._waited: dict[tuple[TaskKey, int], int] = {}
        self._answered: dict[TaskKey, int] = {}
        self._past_runs = iter(ends.past_runs)

    def standing(self) -> Standing:
        """How the run stands at its end."""
        try:
            events: Sequence[Event] = ()
            for _ in range(MOST_STEPS):
                self._step(events)
                if self._engine.finished:
                    break
                events = self._next_events()
                if not events:
                    break
            return self._shown()
        finally:
            self._engine.dispose()

    def _shown(self) -> Standing:
        record = self._engine.record
        tasks = {
            outcome.label(ti.task_id, ti.map_index): f"{ti.state.value if ti.state else None} {ti.try_number}"
            for ti in record.task_instances
        }
        return {**tasks, "(run)": record.state.value}

    def _step(self, events: Sequence[Event]) -> None:
        again = True
        while again or events:
            taken, events = events[: self._engine.most_events], events[self._engine.most_events :]
            self._now += TICK
            commands = self._engine.step(self._now, taken)
            again = StepAgain() in commands
            for command in commands:
                self._carry_out(command)

    def _carry_out(self, command: Command) -> None:  # noqa: C901  # a table: a case for each command
        match command:
            case StartTask(key):
                self._start(command)
            case StartTrigger(key, trigger):
                wait = (key, trigger.try_number)
                number = self._waited.get(wait, 0)
                self._waited[wait] = number + 1
                ended = self._ends.waits.get(wait, [])[number : number + 1]
                for result in ended:
                    self._out[key] = TriggerEnded(key, trigger.try_number, result)
            case StopTask(key, try_number):
                self._out.pop(key, None)
                self._at_once.append(TaskStopped(key, try_number))
            case RegisterAssets():
                self._at_once.append(AssetsRegistered())
            case PublishAssetEvents():
                self._at_once.append(AssetEventsPublished())
            case AwaitTurn():
                self._at_once.append(TurnCome())
            case WatchPastRuns():
                self._at_once += [PastRunsKnown(answer) for answer in [next(self._past_runs, None)] if answer]
            case AskForSlots(keeper, requests) if requests:
                self._at_once.append(SlotsGranted(tuple(request.ticket for request in requests), keeper))
            case WakeAt(moment):
                self._wake = moment
            case _:
                pass

    def _start(self, command: StartTask) -> None:
        attempt = command.attempt
        name = activity_id(attempt)
        result = self._ends.attempts.get(name)
        if result is not None:
            self._out[command.key] = TaskEnded(command.key, attempt.try_number, result)
        elif name in self._ends.attempts:
            self._out[command.key] = AttemptLost(command.key, attempt.try_number, "lost")

    def _next_events(self) -> Sequence[Event]:
        if self._at_once:
            events, self._at_once = self._at_once, []
            return events
        answers = self._due_answers()
        able = sorted({*self._out, *answers})
        if able:
            self.raced |= set(able) if len(able) > 1 else set()
            chosen = self._order(able)
            return [self._happens(key, answers) for key in chosen]
        if self._wake is None:
            return ()
        self._now, self._wake = max(self._wake, self._now), None
        return (TimePassed(),)

    def _due_answers(self) -> dict[TaskKey, InputResponse]:
        due = {}
        for ti in self._engine.record.task_instances if self._ends.answers else ():
            key = TaskKey(ti.task_id, ti.map_index)
            given = self._ends.answers.get(key, [])[self._answered.get(key, 0) :]
            if ti.input_request and given and ti.state != TaskInstanceState.RUNNING:
                due[key] = given[0]
        return due

    def _happens(self, key: TaskKey, answers: dict[TaskKey, InputResponse]) -> Event:
        if key in answers:
            self._answered[key] = self._answered.get(key, 0) + 1
            self._out.pop(key, None)
            return InputGiven(answers[key])
        event = self._out.pop(key)
        if isinstance(event, TaskEnded):
            return replace(event, result=_moved(event.result, self._now + TICK))
        return event


def _moved(result: TaskExecutionResult, now: datetime) -> TaskExecutionResult:
    """A result as of another moment."""
    later = result.reschedule_date and now + (result.reschedule_date - result.end_date)
    return result.model_copy(update={"start_date": now, "end_date": now, "reschedule_date": later})


def orders(keys: Collection[TaskKey], by_chance: int, first_or_last: int) -> Iterator[Order]:
    """Each task instance first, each last, and orders by chance, in which several end at once, too.

    Args:
        keys: of what ends while something else could end, too.
        by_chance: how many orders to draw.
        first_or_last: at most so many task instances come first, and last.
    """
    for key in sorted(keys)[:: -(-len(keys) // first_or_last) or 1]:
        yield partial(_first, key)
        yield partial(_last, key)
    yield lambda able: able
    for number in range(by_chance):
        yield partial(_by_chance, random.Random(number), 1 if number % 2 else 4)


def _first(key: TaskKey, able: Sequence[TaskKey]) -> Sequence[TaskKey]:
    return [key] if key in able else able[:1]


def _last(key: TaskKey, able: Sequence[TaskKey]) -> Sequence[TaskKey]:
    return [each for each in able if each != key][:1] or able


def _by_chance(dice: random.Random, most: int, able: Sequence[TaskKey]) -> Sequence[TaskKey]:
    return dice.sample(able, min(len(able), dice.randint(1, most)))


def chances(ends: Ends, by_chance: int = 40, first_or_last: int = 50) -> dict[str, set[str]]:
    """What is chance in a run: the ends that a task instance may come to, where there is more than one.

    Args:
        ends: how everything ended in one run.
        by_chance: how many orders to draw, besides those in which one task instance comes first or last.
        first_or_last: how many task instances do so, spread over all of them.
    """
    play = Play(ends, lambda able: able[:1])
    first = play.standing()
    seen = {name: {each} for name, each in first.items()}
    for order in orders(play.raced, by_chance, first_or_last):
        standing = Play(ends, order).standing()
        for name in {*first, *standing}:
            seen.setdefault(name, {ABSENT}).add(standing.get(name, ABSENT))
    return {name: each for name, each in seen.items() if len(each) > 1}
