"""How long a pool lets messages gather: never long against the time in which its slots change hands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from temporal_airflow.capacity.pace import LONGEST, Pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = timedelta()


def pause(messages_a_second: int, in_use: int) -> timedelta:
    """After ten seconds of messages at this rate."""
    pace, now, found = Pace(), NOW, NOTHING
    for _ in range(10 * messages_a_second):
        now += timedelta(seconds=1) / messages_a_second
        pace.message_came()
        found = pace.pause(now, in_use)
    return found


def test_the_first_message_waits_for_nothing() -> None:
    pace = Pace()
    pace.message_came()
    assert pace.pause(NOW, in_use=64) == NOTHING
    pace.message_came()
    assert pace.pause(NOW, in_use=64) == NOTHING


@pytest.mark.parametrize(("messages_a_second", "in_use"), [(1, 64), (100, 1), (20, 5), (100, 0)])
def test_who_would_be_alone_with_his_message_doesnt_wait(messages_a_second: int, in_use: int) -> None:
    assert pause(messages_a_second, in_use) == NOTHING


def test_a_pause_is_a_share_of_the_time_in_which_slots_change_hands() -> None:
    assert pause(40, 64).total_seconds() == pytest.approx(0.16, rel=0.1)
    assert pause(10, 640) == LONGEST


def test_a_pool_that_has_become_quiet_waits_no_longer() -> None:
    pace = Pace()
    for number in range(40):
        pace.message_came()
        busy = pace.pause(NOW + timedelta(seconds=number / 20), in_use=64)
    assert busy > NOTHING
    pace.message_came()
    assert pace.pause(NOW + timedelta(minutes=1), in_use=64) == NOTHING
