"""Carries out what somebody wants of a run: one action after the other, a large one over several steps.

It must not know what an action means (:mod:`~temporal_airflow.engine.user_actions`), nor who is told of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow.utils.state import DagRunState

from temporal_airflow.engine import user_actions
from temporal_airflow.engine.allowance import Allowance
from temporal_airflow.engine.clearing import Clearing
from temporal_airflow.engine.events import ActionTaken, AnswerAction
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.models import ActionAnswer


@dataclass(frozen=True)
class _Begun:
    """What somebody wants and isn't done yet.

    Attributes:
        had_ended: whether the run had.
    """

    number: int
    answer: ActionAnswer
    clearing: Clearing
    had_ended: bool


class Acting:
    """What is done to one run because somebody wants it.

    Attributes:
        queued_again: whether the last action has let a run that had ended go on.
    """

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._begun: _Begun | None = None
        self.queued_again = False

    @property
    def busy(self) -> bool:
        """Whether something has begun that isn't done."""
        return self._begun is not None

    def begin(self, event: ActionTaken) -> None:
        """Do what somebody wants, unless what happened since it was looked at has made that impossible."""
        if refusal := user_actions.problem(self._run, event.wanted.action):
            self._run.commands.append(AnswerAction(event.number, refusal))
            return
        had_ended = self._run.ended
        answer, clearing = user_actions.take(self._run, event.wanted)
        self._begun = _Begun(event.number, answer, clearing, had_ended)

    def advance(self, allowance: Allowance) -> bool:
        """Go on with what has begun, as far as the step goes.

        Returns:
            Whether it is done.
        """
        begun, run = self._begun, self._run
        assert begun is not None, "something has begun"
        if not begun.clearing.advance(allowance):
            return False
        self._begun = None
        answer = begun.answer.model_copy(update={"state": DagRunState(run.dag_run.state)})
        run.commands.append(AnswerAction(begun.number, answer))
        run.instances.settle()
        self.queued_again = begun.had_ended and run.queued
        return True
