"""Tasks that wait for a person: whether an answer can be taken, what it does, and what happens when nobody answers.

These are the rules of Airflow's API (``core_api/routes/public/hitl.py``: ``update_hitl_detail``), of its scheduler
(``check_awaiting_input_timeouts``) and of ``HITLOperator``, which would fail the task over an answer that it can't
use: here such an answer is refused. It must not know how an answer arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from airflow.models.hitl import HITLDetail
from airflow.models.hitl import HITLUser as AirflowUser
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.sdk.definitions.param import Param
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.serde import serialize
from airflow.triggers.base import TriggerEvent
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import Session

from temporal_airflow.engine.open_questions import asked
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, InputRequest, InputResponse, InputUser
from temporal_airflow.near_names import did_you_mean

ANSWERABLE = (TaskInstanceState.AWAITING_INPUT, TaskInstanceState.DEFERRED)
"""A task may also wait in a trigger (``HITLTrigger``): an answer resumes it all the same."""

TIMED_OUT = {
    "error": "The Human-in-the-loop response timeout has passed without a response.",
    "error_type": "timeout",
}

UNKNOWN_DEFAULTS = {
    "error": "Time is up, but the default params can't be given: they hold secrets, and without a [core] fernet_key "
    "they can't travel. Set AIRFLOW__CORE__FERNET_KEY for all workers.",
    "error_type": "unknown",
}

SHOWN_CHARACTERS = 200_000
"""Of all texts that a run asks at once, in its record: a query's answer has no room for more."""


def problems(record: DagRunRecord, response: InputResponse) -> Iterator[str]:
    """Why the task that waits can't take an answer: nothing if it can.

    Args:
        record: the run as it is.
        response: the answer.
    """
    ti = asked(record, response)
    assert ti is not None, "the task waits"
    request = ti.input_request
    assert request is not None, "the task waits"
    yield from _unfit_options(request, response)
    yield from _unfit_params(request, response)
    if request.assigned_users and _assigned_user(request, response.user) is None:
        label = task_label(ti.task_id, ti.map_index)
        yield f"User {response.user!r} may not answer task {label!r}; {_who_may(request)}."


def answer(ti: TaskInstance, request: InputRequest, response: InputResponse, now: datetime, session: Session) -> None:
    """Let a task go on with an answer."""
    user = _assigned_user(request, response.user) or InputUser(id=response.user, name=response.user)
    detail = _detail(ti, request)
    detail.responded_at = now
    detail.responded_by = dict(AirflowUser(id=user.id, name=user.name))
    detail.chosen_options = list(_chosen(request, response))
    detail.params_input = response.params_input
    _resume(ti, detail.as_resume_event_payload(), session)


def time_out(ti: TaskInstance, request: InputRequest, now: datetime, session: Session) -> bool:
    """Let a task go on that nobody has answered in time: with its defaults, or to fail.

    Returns:
        Whether the defaults count, those of the form included.
    """
    if request.defaults is None:
        give_up(ti, session)
        return False
    if request.params_changed and request.sealed_params is None:
        _resume(ti, UNKNOWN_DEFAULTS, session)
        return False
    detail = _detail(ti, request)
    detail.responded_at = now
    detail.chosen_options = list(request.defaults)
    detail.params_input = {name: _value_of(param) for name, param in request.params.items()}
    _resume(ti, detail.as_resume_event_payload(timedout=True), session)
    return True


def give_up(ti: TaskInstance, session: Session) -> None:
    """Let a task go on to fail because nobody answered."""
    _resume(ti, TIMED_OUT, session)


def shown(request: InputRequest, requests: int) -> InputRequest:
    """A request with its long texts cut to the room that each of so many has in the run's record."""
    room = SHOWN_CHARACTERS // requests
    return request.model_copy(
        update={
            "subject": _cut(request.subject, room),
            "body": _cut(request.body, room) if request.body else request.body,
            "sealed_params": None,
        }
    )


def _detail(ti: TaskInstance, request: InputRequest) -> HITLDetail:
    """Airflow's row, never stored: it makes the event that the operator understands."""
    return HITLDetail(
        ti_id=ti.id,
        options=list(request.options),
        subject=request.subject,
        multiple=request.multiple,
        params=request.params,
    )


def _resume(ti: TaskInstance, payload: dict[str, Any], session: Session) -> None:
    handle_event_submit(TriggerEvent(payload), task_instance=ti, session=session)
    ti.trigger_timeout = None


def _unfit_options(request: InputRequest, response: InputResponse) -> Iterator[str]:
    offered = _enumerate(request.options)
    for option in response.chosen_options:
        if option not in request.options:
            yield f"{option!r} is not an option{did_you_mean(option, request.options)}; the options are: {offered}."
    chosen = _chosen(request, response)
    if not chosen:
        yield f"Choose {'at least one' if request.multiple else 'one'} of the options: {offered}."
    if len(chosen) > 1 and not request.multiple:
        yield f"Only one option may be chosen of: {offered}."


def _unfit_params(request: InputRequest, response: InputResponse) -> Iterator[str]:
    given = response.params_input
    if not given:
        return
    if given.keys() != request.params.keys():
        missing, unknown = request.params.keys() - given.keys(), given.keys() - request.params.keys()
        parts = [f"missing: {_enumerate(sorted(missing))}"] if missing else []
        parts += [f"unknown: {_enumerate(sorted(unknown))}"] if unknown else []
        yield f"The params must be those that are asked for, all or none; {', '.join(parts)}."
        return
    for name, value in sorted(given.items()):
        yield from _unfit_value(name, request.params[name], value)


def _unfit_value(name: str, param: Any, value: Any) -> Iterator[str]:
    schema = param.get("schema") if isinstance(param, dict) else None
    if schema and not _refers_elsewhere(schema):
        try:
            Param(schema=schema).resolve(value)
        except ParamValidationError as error:
            yield f"Param {name!r} can't be {value!r}: {_first_line(error)}."
            return
    try:
        serialize(value)
    except (TypeError, ValueError, RecursionError) as error:
        yield f"Param {name!r} can't be kept: {_first_line(error)}."


def _refers_elsewhere(schema: Any) -> bool:
    """Whether a schema needs the network, which a workflow may not use: then only the task looks at the value."""
    match schema:
        case dict():
            reference = schema.get("$ref")
            local = not isinstance(reference, str) or reference.startswith("#")
            return not local or any(_refers_elsewhere(part) for part in schema.values())
        case list():
            return any(_refers_elsewhere(part) for part in schema)
        case _:
            return False


def _chosen(request: InputRequest, response: InputResponse) -> Sequence[str]:
    only = request.options if len(request.options) == 1 else ()
    return response.chosen_options or only


def _assigned_user(request: InputRequest, user: str) -> InputUser | None:
    return next((each for each in request.assigned_users if user in (each.id, each.name)), None)


def _who_may(request: InputRequest) -> str:
    return "assigned: " + ", ".join(f"{user.name} (id {user.id})" for user in request.assigned_users)


def _value_of(param: Any) -> Any:
    return param["value"] if isinstance(param, dict) and "value" in param else param


def _enumerate(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
