"""What runs say about slots on its way to a pool: nothing is sent twice for nothing, and nothing stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow.capacity import slot_post
from temporal_airflow.capacity.slot_post import SlotPost
from temporal_airflow.models import SlotHolder, SlotMessage
from waiting import until


class Pool:
    """Takes letters when it is let; stands for the client as well, of which it is all that is used."""

    def __init__(self, refusals: int = 0) -> None:
        self.letters: list[list[tuple[str, int]]] = []
        self.tried = 0
        self.let_in = asyncio.Event()
        self.at_end: Callable[[], None] = lambda: None
        self._refusals = refusals

    def get_workflow_handle(self, keeper: str) -> Pool:
        assert keeper == "pool"
        return self

    async def signal(self, name: str, messages: list[SlotMessage], **how: Any) -> None:
        self.tried += 1
        await self.let_in.wait()
        if self.tried <= self._refusals:
            raise RPCError("nobody is there", RPCStatusCode.NOT_FOUND, b"")
        self.letters.append([(message.holder.workflow_id, message.number) for message in messages])
        self.at_end()


def message(run: str, number: int) -> SlotMessage:
    return SlotMessage(holder=SlotHolder(workflow_id=run, first_run_id=run), number=number, everything=True)


async def test_what_comes_while_a_letter_is_on_its_way_goes_together_and_only_the_latest_of_each_run() -> None:
    pool = Pool()
    post = SlotPost(cast("Client", pool))
    async with post.open():
        post.take("pool", message("one", 1), 0.0)
        await until("the first is on its way", lambda: pool.tried)
        for run, number in (("one", 2), ("other", 1), ("one", 3)):
            post.take("pool", message(run, number), 0.0)
        pool.let_in.set()
        await until("both letters have come", lambda: len(pool.letters) == 2)
    assert pool.letters == [[("one", 1)], [("one", 3), ("other", 1)]]


async def test_what_comes_in_a_pause_goes_together() -> None:
    pool = Pool()
    pool.let_in.set()
    post = SlotPost(cast("Client", pool))
    async with post.open():
        for run in ("one", "other"):
            post.take("pool", message(run, 1), 0.1)
        await until("it has come", lambda: pool.letters)
    assert pool.letters == [[("one", 1), ("other", 1)]]


async def test_a_pool_that_is_not_there_is_told_later_what_is_true_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_post, "PAUSE", 0.0)
    pool = Pool(refusals=2)
    post = SlotPost(cast("Client", pool))
    async with post.open():
        post.take("pool", message("one", 1), 0.0)
        await until("the first is on its way", lambda: pool.tried)
        post.take("pool", message("one", 2), 0.0)
        pool.let_in.set()
        await until("it has come", lambda: pool.letters)
    assert pool.letters == [[("one", 2)]]


async def test_letters_are_given_up_after_many_tries_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_post, "PAUSE", 0.0)
    pool = Pool(refusals=slot_post.MOST_TRIES)
    pool.let_in.set()
    post = SlotPost(cast("Client", pool))
    async with post.open():
        post.take("pool", message("one", 1), 0.0)
        await until("it is given up", lambda: pool.tried == slot_post.MOST_TRIES)
        post.take("pool", message("other", 1), 0.0)
        await until("another has come", lambda: pool.letters)
    assert pool.letters == [[("other", 1)]]


async def test_what_comes_just_as_the_last_letter_is_delivered_goes_in_another() -> None:
    pool = Pool()
    pool.let_in.set()
    post = SlotPost(cast("Client", pool))

    def write_once_more() -> None:
        if len(pool.letters) < 2:
            post.take("pool", message("other", 1), 0.0)

    pool.at_end = write_once_more
    async with post.open():
        post.take("pool", message("one", 1), 0.0)
        await until("both have come", lambda: len(pool.letters) == 2)
    assert pool.letters == [[("one", 1)], [("other", 1)]]


async def test_a_stopping_worker_delivers_its_last_letters() -> None:
    pool = Pool()
    pool.let_in.set()
    post = SlotPost(cast("Client", pool))
    async with post.open():
        post.take("pool", message("one", 1), 0.0)
        await until("it is on its way", lambda: pool.tried)
    assert pool.letters == [[("one", 1)]]
