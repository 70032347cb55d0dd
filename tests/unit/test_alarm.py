"""The timer of a run, by a server whose clocks differ: its own hosts may, so the clock is played here."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import workflow

from temporal_airflow.engine.events import TimePassed
from temporal_airflow.workflows.alarm import Alarm
from temporal_airflow.workflows.inbox import Inbox

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Workflow time, and the timers that were started."""

    def __init__(self) -> None:
        self.now = NOON
        self.timers: list[tuple[timedelta, asyncio.Future[None]]] = []

    async def sleep(self, duration: timedelta, *, summary: str) -> None:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.timers.append((duration, timer))
        await timer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(workflow, "now", lambda: clock.now)
    monkeypatch.setattr(workflow, "sleep", clock.sleep)
    return clock


async def _turn() -> None:
    """Let everything that can go on do so: a timer's task, then what waits for it."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_run_is_woken_by_one_timer_for_a_moment_it_asks_for_again(clock: Clock) -> None:
    alarm = Alarm(Inbox())
    for _ in range(2):
        alarm.set(NOON + timedelta(seconds=5))
        await _turn()
    assert [duration for duration, _ in clock.timers] == [timedelta(seconds=5)]


async def test_a_timer_that_ends_while_it_is_still_early_for_the_run_is_followed_by_another(clock: Clock) -> None:
    inbox = Inbox()
    alarm = Alarm(inbox)
    alarm.set(NOON + timedelta(seconds=5))
    await _turn()
    clock.now = NOON + timedelta(seconds=4)
    clock.timers[0][1].set_result(None)
    await _turn()
    assert inbox.take(9) == [TimePassed()]
    alarm.set(NOON + timedelta(seconds=5))
    await _turn()
    assert [duration for duration, _ in clock.timers] == [timedelta(seconds=5), timedelta(seconds=1)]


async def test_an_earlier_moment_gets_a_timer_of_its_own(clock: Clock) -> None:
    alarm = Alarm(Inbox())
    for seconds in (5, 2):
        alarm.set(NOON + timedelta(seconds=seconds))
        await _turn()
    assert [duration for duration, _ in clock.timers] == [timedelta(seconds=5), timedelta(seconds=2)]
