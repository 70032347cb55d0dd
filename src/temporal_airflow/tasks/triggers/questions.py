"""Questions of triggers to the worker: any number at once, each waited for in a thread of its own.

It must not know sockets, nor what is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from temporal_airflow.tasks.channel import QuestionFailedError
from temporal_airflow.tasks.messages import Answer, Question
from temporal_airflow.tasks.triggers.messages import TriggerAsk


class Questions:
    """Questions on their way to the worker, of all triggers."""

    def __init__(self, send: Callable[[TriggerAsk], None]) -> None:
        """Start without any.

        Args:
            send: sends a question from any thread.
        """
        self._send = send
        self._ids = itertools.count(1)
        self._open: dict[int, Future[Answer]] = {}

    def ask(self, trigger: int, question: Question) -> Answer:
        """Wait for an answer, in a thread.

        Raises:
            QuestionFailedError: if the worker couldn't answer.
        """
        number = next(self._ids)
        future = self._open[number] = Future()
        self._send(TriggerAsk(id=number, trigger=trigger, question=question))
        answer = future.result()
        if answer.error is not None:
            raise QuestionFailedError(answer.error)
        return answer

    def take(self, answer: Answer) -> None:
        """Hand an answer to whoever asked."""
        self._open.pop(answer.id).set_result(answer)


@dataclass(frozen=True)
class TriggerAsker:
    """One trigger's way to ask."""

    trigger: int
    questions: Questions = field(repr=False)

    def ask(self, question: Question) -> Answer:
        """Ask the worker."""
        return self.questions.ask(self.trigger, question)
