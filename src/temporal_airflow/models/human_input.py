"""What a task asks of people, and what they answer: part of a task's result, and the argument of the update."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from temporal_airflow.models.base import SealedKwargs, WireModel


class InputUser(WireModel):
    """Somebody who answers, or who alone is to answer."""

    id: str
    name: str


class InputRequest(WireModel):
    """What a task asks (Airflow's ``HITLDetail``).

    Subject, body, and the texts and values of params are masked, because people see them. What can be chosen is not:
    it must be given back as it is.

    Attributes:
        options: what can be chosen, at least one.
        defaults: what counts as chosen when time is up.
        multiple: whether several options may be chosen.
        params: fields of the form, each with ``value``, ``description`` and ``schema``.
        params_changed: whether masking has changed a value in them.
        sealed_params: the same unmasked, if they may be needed and can be encrypted.
        assigned_users: who may answer; nobody in particular if empty.
    """

    subject: str
    options: tuple[str, ...]
    body: str | None = None
    defaults: tuple[str, ...] | None = None
    multiple: bool = False
    params: dict[str, Any] = Field(default_factory=dict)
    params_changed: bool = False
    sealed_params: SealedKwargs | None = None
    assigned_users: tuple[InputUser, ...] = ()


class InputWait(WireModel):
    """How a task waits for the answer (``AwaitInputTask``).

    Attributes:
        next_method: what goes on with the answer.
        timeout: seconds after which the defaults count, or the task fails.
    """

    next_method: str
    next_kwargs: SealedKwargs | None = None
    timeout: float | None = None


class InputResponse(WireModel):
    """Somebody's answer: the argument of the update ``respond``.

    Attributes:
        chosen_options: may be left out where there is only one.
        params_input: a value for each field of the form, or none at all.
        user: id or name of who answers.
    """

    task_id: str
    map_index: int = -1
    chosen_options: tuple[str, ...] = ()
    params_input: dict[str, Any] = Field(default_factory=dict)
    user: str
