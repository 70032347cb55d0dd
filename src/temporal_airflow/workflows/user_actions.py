"""What people do to a run, on its way to the engine and back: each waits until the engine has taken it in a step.

It must not know what any action means.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import ActionTaken, AnswerAction
from temporal_airflow.models import ActionAnswer, RunAction
from temporal_airflow.workflows.inbox import Inbox


class UserActions:
    """Actions that wait for their answers."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._taken = 0
        self._answers: dict[int, ActionAnswer | str] = {}

    @property
    def unread(self) -> bool:
        """Whether an action has come that the engine doesn't know of."""
        return any(isinstance(event, ActionTaken) for event in self._inbox)

    async def take(self, wanted: RunAction) -> ActionAnswer:
        """Let the engine do what somebody wants.

        Raises:
            ApplicationError: if something that happened first has made it impossible.
        """
        self._taken += 1
        number = self._taken
        self._inbox.put(ActionTaken(number, wanted))
        await workflow.wait_condition(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if isinstance(answer, str):
            raise refused(answer)
        return answer

    def answer(self, command: AnswerAction) -> None:
        """Tell who has acted what the engine says."""
        self._answers[command.number] = command.answer


def refused(reason: str) -> ApplicationError:
    """The failure with which a run refuses what somebody wants."""
    return ApplicationError(reason, type=identifiers.REFUSED_ACTION)
