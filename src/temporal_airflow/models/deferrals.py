"""How a task waits without a process: for a trigger, after it has run or instead of running first."""

from __future__ import annotations

from temporal_airflow.models.base import CompactModel, SealedKwargs, WireModel


class Deferral(CompactModel):
    """How a task wants to wait: a trigger, and what to call when it has fired (``DeferTask``).

    Attributes:
        classpath: of the trigger.
        timeout: seconds after which the wait fails.
    """

    classpath: str
    trigger_kwargs: SealedKwargs
    next_method: str
    next_kwargs: SealedKwargs | None = None
    timeout: float | None = None
    queue: str | None = None


class StartingTrigger(WireModel):
    """The wait with which each try of a task begins (``StartTriggerArgs``), as its file was parsed.

    Attributes:
        deferral: the wait; Airflow's ``TaskInstance.defer_task`` says when it times out.
        sealed_dag: the serialized DAG as far as the task's templates may see it: the task and its direct upstream.
    """

    deferral: Deferral
    sealed_dag: SealedKwargs
