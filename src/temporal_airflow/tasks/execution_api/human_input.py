"""Namespace ``hitl``: what a task asks of people, and what a trigger that waits for the answer is told.

The answer itself never comes this way: it resumes the task, whichever way it waits, with what :func:`resumed_kwargs`
makes of it. It must not know how people are asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.api.datamodels._generated import HITLDetailRequest, HITLDetailResponse, HITLUser
from airflow.sdk.serde import serialize

from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.models import InputRequest, InputUser, TaskExecutionInput
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.masking import masked
from temporal_airflow.tasks.try_record import TryRecord

MOST_ASKED = 256 * 1024
"""Bytes of one request: it travels in the task's result, and people are to read it."""


class LargeRequestError(TemporalAirflowError):
    """A task asks for something with more text than can travel."""


@dataclass(frozen=True)
class HumanInput:
    """The namespace."""

    record: TryRecord

    def add_response(
        self,
        *,
        ti_id: UUID,
        options: list[str],
        subject: str,
        body: str | None = None,
        defaults: list[str] | None = None,
        multiple: bool | None = False,
        params: dict[str, Any] | None = None,
        assigned_users: list[HITLUser] | None = None,
    ) -> HITLDetailRequest:
        """Ask; people see it once the task waits."""
        asked = HITLDetailRequest(
            ti_id=ti_id,
            options=options,
            subject=subject,
            body=body,
            defaults=defaults,
            multiple=multiple,
            params=params,
            assigned_users=assigned_users,
        )
        request = _request(asked)
        size = len(request.model_dump_json())
        if size > MOST_ASKED:
            raise LargeRequestError(
                f"What the task asks has {size} bytes; at most {MOST_ASKED} can be asked. Shorten subject, body and "
                "params, and let the body say where to read more."
            )
        self.record.input_request = request
        return asked

    def get_detail_response(self, ti_id: UUID) -> HITLDetailResponse:  # noqa: ARG002
        """No answer yet: an answer ends the wait of whoever asks this."""
        return HITLDetailResponse(response_received=False, responded_at=None, chosen_options=None)

    def update_response(
        self,
        *,
        ti_id: UUID,  # noqa: ARG002
        chosen_options: list[str],
        params_input: dict[str, Any],
    ) -> HITLDetailResponse:
        """Time is up and the defaults count: the trigger resumes the task with them."""
        return HITLDetailResponse(
            response_received=True,
            responded_at=datetime.now(UTC),
            chosen_options=chosen_options,
            params_input=params_input,
        )


def resumed_kwargs(task: TaskExecutionInput) -> Any:
    """What the method is given that a task goes on with: its own arguments, and a person's answer if there is one."""
    if task.next_method is None:
        return None
    kwargs = sealing.unseal(task.next_kwargs) if task.next_kwargs else None
    if task.input_kwargs is None:
        return kwargs
    kwargs = {**(kwargs or {}), **task.input_kwargs}
    if task.default_params is not None:
        values = {name: _value_of(param) for name, param in sealing.unseal(task.default_params).items()}
        kwargs["event"] = {**kwargs["event"], "params_input": serialize(values)}
    return kwargs


def _request(asked: HITLDetailRequest) -> InputRequest:
    params = json.loads(json.dumps(asked.params or {}))
    shown = {name: _masked(name, param) for name, param in params.items()}
    changed = any(_value_of(param) != _value_of(params[name]) for name, param in shown.items())
    return InputRequest(
        subject=masked(asked.subject),
        options=tuple(asked.options),
        body=masked(asked.body),
        defaults=tuple(asked.defaults) if asked.defaults is not None else None,
        multiple=bool(asked.multiple),
        params=shown,
        params_changed=changed,
        sealed_params=sealing.seal(params) if changed and asked.defaults is not None and sealing.encrypts() else None,
        assigned_users=tuple(InputUser(id=user.id, name=user.name) for user in asked.assigned_users or ()),
    )


def _masked(name: str, param: Any) -> Any:
    """A field of the form without secrets; its schema stays, for the answer must be held against it."""
    if not isinstance(param, dict) or "value" not in param:
        return redact(param, name)
    return {**param, "value": redact(param["value"], name), "description": redact(param.get("description"))}


def _value_of(param: Any) -> Any:
    return param["value"] if isinstance(param, dict) and "value" in param else param
