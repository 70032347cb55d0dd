"""The slots of a pool: never too many, never lost, and always the most important first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from temporal_airflow.capacity.slot_book import HolderKey, SlotBook
from temporal_airflow.models import HeldSlots, PoolDefinition, PoolState, SlotHolder, SlotMessage, SlotRequest

ONE = SlotHolder(workflow_id="one", first_run_id="1")
TWO = SlotHolder(workflow_id="two", first_run_id="2")


def book(slots: int, *, include_deferred: bool = False) -> SlotBook:
    return SlotBook(PoolState(definition=PoolDefinition(name="pool", slots=slots, include_deferred=include_deferred)))


def wants(ticket: int, weight: int = 1, slots: int = 1, map_index: int = -1) -> SlotRequest:
    return SlotRequest(ticket=ticket, task_id="task", map_index=map_index, slots=slots, weight=weight)


def granted(pool: SlotBook) -> list[tuple[str, int]]:
    return [(key.workflow_id, ticket) for key, tickets in pool.grant().items() for ticket in tickets]


def test_the_heavier_comes_first_then_the_earlier_date_then_who_asked_first() -> None:
    pool = book(0)
    dated = SlotHolder(workflow_id="dated", first_run_id="3", logical_date=datetime(2026, 1, 1, tzinfo=UTC))
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2, weight=5), wants(3, map_index=2))))
    pool.take(SlotMessage(holder=TWO, requests=(wants(1), wants(2, map_index=1))))
    pool.take(SlotMessage(holder=dated, requests=(wants(1),)))
    order = []
    for slots in range(1, 7):
        pool.define(PoolDefinition(name="pool", slots=slots))
        order += granted(pool)
    assert order == [("one", 2), ("dated", 1), ("one", 1), ("two", 1), ("two", 2), ("one", 3)]


def test_who_needs_more_than_is_open_is_passed_over_until_there_is_room() -> None:
    pool = book(3)
    pool.take(SlotMessage(holder=ONE, requests=(wants(1, 9, slots=2), wants(2, 8, slots=2), wants(3, 7))))
    assert granted(pool) == [("one", 1), ("one", 3)]
    pool.take(SlotMessage(holder=ONE, returns=(3,)))
    assert granted(pool) == []
    pool.take(SlotMessage(holder=ONE, returns=(1,)))
    assert granted(pool) == [("one", 2)]


def test_a_smaller_pool_drains_and_a_larger_one_fills_at_once() -> None:
    pool = book(2)
    pool.take(SlotMessage(holder=ONE, requests=tuple(map(wants, range(4)))))
    assert len(granted(pool)) == 2
    pool.define(PoolDefinition(name="pool", slots=1))
    assert pool.open == -1
    pool.take(SlotMessage(holder=ONE, returns=(0,)))
    assert granted(pool) == []
    pool.define(PoolDefinition(name="pool", slots=10))
    assert granted(pool) == [("one", 2), ("one", 3)]


def test_deferred_tasks_count_only_where_the_pool_includes_them() -> None:
    for include_deferred in (False, True):
        pool = book(1, include_deferred=include_deferred)
        pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2))))
        assert granted(pool) == [("one", 1)]
        pool.take(SlotMessage(holder=ONE, holds=(HeldSlots(ticket=1, deferred=True),)))
        assert granted(pool) == ([] if include_deferred else [("one", 2)])


def test_a_run_that_is_no_more_gives_everything_back() -> None:
    pool = book(2)
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2), wants(3))))
    pool.take(SlotMessage(holder=TWO, requests=(wants(1),)))
    assert len(granted(pool)) == 2
    pool.drop(HolderKey("one", "1"))
    assert granted(pool) == [("two", 1)]
    assert [holder.workflow_id for holder in pool.holders()] == ["two"]


def test_saying_everything_again_changes_nothing_and_repeats_what_wasnt_heard() -> None:
    pool = book(1)
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2))))
    assert granted(pool) == [("one", 1)]
    pool.take(SlotMessage(holder=ONE, requests=(wants(2),), holds=(HeldSlots(ticket=1),)))
    assert granted(pool) == []
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2))))  # the news of the first slot is on its way
    assert granted(pool) == []
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2)), anew=True))  # it may never hear of it
    assert granted(pool) == [("one", 1)]
    assert pool.stats().running == 1


def test_what_a_run_doesnt_mention_when_it_says_everything_is_free() -> None:
    pool = book(1)
    pool.take(SlotMessage(holder=ONE, requests=(wants(1), wants(2), wants(3))))
    assert granted(pool) == [("one", 1)]
    pool.take(SlotMessage(holder=ONE, requests=(wants(3),), everything=True))
    assert granted(pool) == [("one", 3)]
    pool.take(SlotMessage(holder=ONE, everything=True))
    assert not pool.in_use


def test_what_comes_late_is_not_heard() -> None:
    pool = book(1)
    pool.take(SlotMessage(holder=ONE, number=1, requests=(wants(1),), everything=True))
    pool.take(SlotMessage(holder=ONE, number=2, requests=(wants(2),), returns=(1,), everything=True))
    pool = goes_on_elsewhere(pool)
    pool.take(SlotMessage(holder=ONE, number=1, requests=(wants(1),), everything=True))
    assert granted(pool) == [("one", 2)]


def test_a_run_that_moves_in_silence_is_asked_once_what_it_has_said() -> None:
    pool = book(1)
    one = HolderKey("one", "1")
    assert not pool.has_moved(one, 100)
    pool.take(SlotMessage(holder=ONE, number=7, length=10, requests=(wants(1),)))
    pool = goes_on_elsewhere(pool)
    assert pool.heard_of(one) == 7
    assert not pool.has_moved(one, 11), "it waits"
    assert granted(pool) == [("one", 1)]
    assert not pool.has_moved(one, 16), "its task runs"
    assert pool.has_moved(one, 21), "its task has ended"
    assert not pool.has_moved(one, 25), "the question itself"
    assert pool.has_moved(one, 30)


def test_a_request_that_a_lost_decision_has_sent_otherwise_is_what_was_said_last() -> None:
    pool = book(3)
    pool.take(SlotMessage(holder=ONE, number=1, requests=(wants(1),), everything=True))
    assert granted(pool) == [("one", 1)]
    pool.take(SlotMessage(holder=ONE, number=1, requests=(wants(1, slots=2), wants(2, slots=3)), everything=True))
    assert granted(pool) == [("one", 1)]
    pool.take(SlotMessage(holder=ONE, number=1, requests=(wants(1, slots=2), wants(2)), everything=True))
    assert granted(pool) == [("one", 2)]
    assert pool.stats().running == 3


def test_a_deleted_pool_gives_nothing_until_it_is_set_again() -> None:
    pool = book(1)
    pool.delete()
    pool.take(SlotMessage(holder=ONE, requests=(wants(1),)))
    assert granted(pool) == []
    pool.define(PoolDefinition(name="pool", slots=1))
    assert granted(pool) == [("one", 1)]


RUNS = ("a", "b", "c")


class Model:
    """The same pool, kept as plainly as can be: every request and every slot in a dictionary."""

    def __init__(self) -> None:
        self.size, self.tickets = 3, 0
        self.wanted: dict[tuple[str, int], tuple[int, int, int]] = {}
        self.held: dict[tuple[str, int], int] = {}

    def grant(self) -> list[tuple[str, int]]:
        got = []
        for key, (_, _, slots) in sorted(self.wanted.items(), key=lambda item: item[1]):
            if slots <= self.size - sum(self.held.values()):
                self.held[key] = slots
                got.append(key)
        for key in got:
            del self.wanted[key]
        return got

    def forget(self, *keys: tuple[str, int]) -> None:
        for key in keys:
            self.wanted.pop(key, None)
            self.held.pop(key, None)

    def of(self, run: str) -> list[tuple[str, int]]:
        return sorted(key for key in (*self.wanted, *self.held) if key[0] == run)


def holder(run: str) -> SlotHolder:
    return SlotHolder(workflow_id=run, first_run_id=run)


def asks(pool: SlotBook, model: Model, run: str, number: int) -> SlotBook:
    model.tickets += 1
    weight, slots = number - 2, 1 + number % 3
    model.wanted[run, model.tickets] = (-weight, model.tickets, slots)
    pool.take(SlotMessage(holder=holder(run), requests=(wants(model.tickets, weight, slots=slots),)))
    return pool


def gives_back(pool: SlotBook, model: Model, run: str, number: int) -> SlotBook:
    for key in model.of(run)[number : number + 1]:
        model.forget(key)
        pool.take(SlotMessage(holder=holder(run), returns=(key[1],)))
    return pool


def is_resized(pool: SlotBook, model: Model, run: str, number: int) -> SlotBook:
    model.size = number
    pool.define(PoolDefinition(name=run, slots=number))
    return pool


def ends(pool: SlotBook, model: Model, run: str, number: int) -> SlotBook:
    assert number, "all of them"
    model.forget(*model.of(run))
    pool.drop(HolderKey(run, run))
    return pool


def goes_on_elsewhere(pool: SlotBook, *_: object) -> SlotBook:
    state = PoolState(definition=pool.definition, holders=tuple(pool.state()), arrivals=pool.arrivals)
    return SlotBook(PoolState.model_validate_json(state.model_dump_json()))


HAPPENINGS = (asks, asks, gives_back, is_resized, ends, goes_on_elsewhere)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from(RUNS), st.integers(1, 5)), max_size=60))
def test_whatever_happens_no_slot_is_given_twice_and_none_is_lost(happenings: list[Any]) -> None:
    pool, model = book(3), Model()
    for happens, run, number in happenings:
        used_before = sum(model.held.values())
        pool = happens(pool, model, run, number)
        assert sorted(granted(pool)) == sorted(model.grant())
        assert pool.stats().running == sum(model.held.values()) <= max(model.size, used_before)
        assert pool.stats().waiting == sum(slots for _, _, slots in model.wanted.values())
        assert pool.in_use == bool(model.wanted or model.held)
