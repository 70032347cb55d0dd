"""How the Execution API's namespaces reach state that outlives runs: through the worker, in their run's scope.

It must not know what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporal_airflow.tasks.channel import Asker
from temporal_airflow.tasks.messages import AskKeptState
from temporal_airflow.tasks.state_questions import StateAnswer, StateQuestion


@dataclass(frozen=True)
class RunScope:
    """A way to ask, for one run.

    Attributes:
        task_queue: of the run; runs of another one have state of their own.
    """

    asker: Asker
    task_queue: str

    def ask(self, question: StateQuestion) -> StateAnswer:
        """Ask, or write, and wait until that is done."""
        answer = self.asker.ask(AskKeptState(task_queue=self.task_queue, question=question))
        assert answer.kept is not None, f"no answer to {question.kind}"
        return answer.kept
