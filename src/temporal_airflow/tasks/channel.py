"""The slot's end of its socket to the worker: blocking, single-threaded, and never deaf to a cancellation.

It must not know what requests mean.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.tasks import messages
from temporal_airflow.tasks.messages import Answer, Ask, Cancel, Heartbeat, HostTriggers, Message, Question, Request

HEARTBEAT_INTERVAL = 1.0
"""Seconds between two heartbeats to the worker."""

CHUNK = 1024 * 1024


class WorkerGoneError(Exception):
    """The worker closed the socket: whatever runs is to be stopped."""


class QuestionFailedError(TemporalAirflowError):
    """The worker couldn't answer a question of the task."""


class Asker(Protocol):
    """A way to ask the worker."""

    def ask(self, question: Question) -> Answer:
        """Ask and wait for the answer.

        Raises:
            QuestionFailedError: if the worker couldn't answer.
        """


class Channel:
    """Reads requests, answers and cancellations; writes heartbeats, questions and replies.

    Attributes:
        cancelled: whether the current request was cancelled.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.cancelled = False
        self._socket = connection
        self._received = bytearray()
        self._scanned = 0
        self._questions = 0
        self._sending = False

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket, in a fork that must not hold it open."""
        self._socket.close()

    def send(self, message: Message) -> None:
        """Send a message, however long it takes the worker to read it."""
        line = messages.encode(message)
        self._sending = True
        try:
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerGoneError from error
        finally:
            self._sending = False

    def next_request(self) -> Request | HostTriggers:
        """Wait for work; a cancellation that came too late for the previous request is dropped."""
        while True:
            match self._receive():
                case Cancel():
                    continue
                case Answer() as answer:
                    raise AssertionError(f"An answer that nobody asked for: {answer.id}")
                case request:
                    self.cancelled = False
                    self._notice_cancellation()
                    return request

    def poll(self) -> None:
        """Notice a cancellation that has arrived, without waiting.

        Raises:
            WorkerGoneError: if it is the end that has arrived.
        """
        if select.select([self._socket], [], [], 0)[0]:
            self._read()
        self._notice_cancellation()

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Send heartbeats as long as the context lasts, whatever this process is busy with.

        A timer signal does it: no thread, which would make forks unsafe, and no beat from a process that hangs in the
        kernel. Forks inherit the handler, not the timer.
        """
        signal.signal(signal.SIGALRM, self._beat)
        signal.setitimer(signal.ITIMER_REAL, HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def ask(self, question: Question) -> Answer:
        """Ask the worker and wait for its answer.

        Raises:
            QuestionFailedError: if the worker couldn't answer.
        """
        self._questions += 1
        self.send(Ask(id=self._questions, question=question))
        while True:
            match self._receive():
                case Cancel():
                    self.cancelled = True
                case Answer(id=self._questions) as answer:
                    self._notice_cancellation()
                    if answer.error is not None:
                        raise QuestionFailedError(answer.error)
                    return answer
                case other:
                    raise AssertionError(f"{type(other).__name__} instead of an answer")

    def _beat(self, _number: int, _frame: FrameType | None) -> None:
        if not self._sending:  # never into the middle of another message
            with contextlib.suppress(WorkerGoneError):  # the next message notices, at a place that can bear it
                self.send(Heartbeat())

    def _receive(self) -> Request | HostTriggers | Cancel | Answer:
        while not self._line_waiting():
            self._read()
        end = self._received.index(b"\n", self._scanned)
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._scanned = 0
        return messages.to_slot.validate_json(line)

    def _notice_cancellation(self) -> None:
        """A cancellation may sit behind another message, where no selector sees it."""
        while self._line_waiting():
            message = self._receive()
            if not isinstance(message, Cancel):
                raise AssertionError(f"{type(message).__name__} while a request is served")  # noqa: TRY004  # a defect
            self.cancelled = True

    def _read(self) -> None:
        try:
            chunk = self._socket.recv(CHUNK)
        except ConnectionResetError as error:
            raise WorkerGoneError from error
        if not chunk:
            raise WorkerGoneError
        self._received += chunk

    def _line_waiting(self) -> bool:
        end = self._received.find(b"\n", self._scanned)
        self._scanned = end if end >= 0 else len(self._received)
        return end >= 0
