"""The slot's end of its socket: it hears a cancellation wherever it arrives."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from temporal_airflow.models import LoadDagInput
from temporal_airflow.tasks import messages
from temporal_airflow.tasks.channel import Channel, QuestionFailedError, WorkerGoneError
from temporal_airflow.tasks.messages import Answer, Ask, AskRun, Cancel, Heartbeat, LoadDag

REQUEST = LoadDag(input=LoadDagInput(path="x" * 3_000_000, now=datetime(2026, 5, 1, tzinfo=UTC)))
QUESTION = AskRun(dag_id="dag", run_id="run")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    worker, slot = socket.socketpair()
    with worker, slot:
        yield worker, Channel(slot)


def tell(worker: socket.socket, *sent: messages.Message) -> None:
    worker.sendall(b"".join(map(messages.encode, sent)))


def test_a_cancellation_behind_the_request_is_noticed(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    small = LoadDag(input=LoadDagInput(now=datetime(2026, 5, 1, tzinfo=UTC)))
    tell(worker, small, Cancel())
    assert channel.next_request() == small
    assert channel.cancelled


def test_a_late_cancellation_does_not_hit_the_next_request(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    small = LoadDag(input=LoadDagInput(now=datetime(2026, 5, 1, tzinfo=UTC)))
    tell(worker, small)
    channel.next_request()
    tell(worker, Cancel(), small)
    channel.next_request()
    assert not channel.cancelled


def test_a_cancellation_around_an_answer_is_noticed(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    tell(worker, Answer(id=1), Cancel())
    assert channel.ask(QUESTION) == Answer(id=1)
    assert channel.cancelled
    assert messages.from_slot.validate_json(worker.recv(1000)) == Ask(id=1, question=QUESTION)
    channel.cancelled = False
    tell(worker, Cancel(), Answer(id=2, error="no such run"))
    with pytest.raises(QuestionFailedError, match="no such run"):
        channel.ask(QUESTION)
    assert channel.cancelled


def test_polling_waits_for_nothing(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    channel.poll()
    assert not channel.cancelled
    line = messages.encode(Cancel())
    worker.sendall(line[:5])
    channel.poll()
    assert not channel.cancelled
    worker.sendall(line[5:])
    channel.poll()
    assert channel.cancelled


def test_the_end_of_the_worker_is_noticed_everywhere(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    worker.close()
    for use in (channel.poll, channel.next_request, lambda: channel.ask(QUESTION)):
        with pytest.raises(WorkerGoneError):
            use()


def test_large_messages_arrive_whole(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    worker.setblocking(False)
    line = messages.encode(REQUEST)
    sent = 0
    with selectors.DefaultSelector() as selector:
        selector.register(worker, selectors.EVENT_WRITE)
        while sent < len(line):
            if selector.select(0):
                sent += worker.send(line[sent:])
            else:
                channel._read()
    assert channel.next_request() == REQUEST


def test_heartbeats_come_while_the_slot_is_busy(ends: tuple[socket.socket, Channel]) -> None:
    worker, channel = ends
    with channel.beating():
        beat = worker.recv(1000)  # busy in a system call, in the very process that beats
    assert messages.from_slot.validate_json(beat) == Heartbeat()
