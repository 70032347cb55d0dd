"""What of a task's question travels, and what the task is given when it goes on."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.models.crypto import _NullFernet
from airflow.sdk._shared.secrets_masker.secrets_masker import _secrets_masker
from airflow.sdk.api.datamodels._generated import HITLUser
from airflow.utils.types import DagRunType
from cryptography.fernet import Fernet

from temporal_airflow.models import BundleReference, DagRunIdentity, InputRequest, InputUser, TaskExecutionInput
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.execution_api import human_input
from temporal_airflow.tasks.execution_api.human_input import HumanInput, LargeRequestError, resumed_kwargs
from temporal_airflow.tasks.try_record import TryRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = {"value": "from the file", "description": None, "schema": {"type": "string"}}
NUMBER = {"value": 3, "description": "How many", "schema": {"type": "integer"}}


class Key(Fernet):
    is_encrypted = True


@pytest.fixture(autouse=True)
def _configured_masker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks by names as in a task's process; a library's masker knows none."""
    monkeypatch.setattr(_secrets_masker(), "sensitive_variables_fields", ["password"])


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    fernet = Key(Fernet.generate_key())
    monkeypatch.setattr(sealing, "get_fernet", lambda: fernet)


def ask(**fields: Any) -> InputRequest:
    record = TryRecord()
    HumanInput(record).add_response(**{"ti_id": uuid.uuid4(), "options": ["a", "b"], "subject": "Which?", **fields})
    assert record.input_request is not None
    return record.input_request


def resuming(**fields: Any) -> TaskExecutionInput:
    run = DagRunIdentity(dag_id="d", run_id="r", run_type=DagRunType.MANUAL, run_after=NOW)
    return TaskExecutionInput(
        task_instance_id=uuid.uuid4(),
        dag_version_id=uuid.uuid4(),
        run=run,
        run_start_date=NOW,
        bundle=BundleReference(name="b", relative_fileloc="d.py"),
        task_id="t",
        try_number=1,
        **fields,
    )


def test_a_question_travels_as_it_was_asked() -> None:
    users = [HITLUser(id="7", name="ann")]
    request = ask(body="Look", defaults=["a"], multiple=True, params={"number": NUMBER}, assigned_users=users)
    assert request == InputRequest(
        subject="Which?",
        options=("a", "b"),
        body="Look",
        defaults=("a",),
        multiple=True,
        params={"number": NUMBER},
        assigned_users=(InputUser(id="7", name="ann"),),
    )


@pytest.mark.usefixtures("key")
def test_values_that_are_masked_travel_sealed_if_they_may_be_needed() -> None:
    params = {"password": PASSWORD, "number": NUMBER}
    request = ask(params=params, defaults=["a"])
    assert request.params == {"password": {**PASSWORD, "value": "***"}, "number": NUMBER}
    assert request.sealed_params is not None
    assert "from the file" not in request.model_dump_json()
    assert sealing.unseal(request.sealed_params) == params
    assert ask(params=params).sealed_params is None  # nobody needs them without defaults
    assert ask(params={"number": NUMBER}, defaults=["a"]).sealed_params is None


def test_without_a_key_values_that_are_masked_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "get_fernet", _NullFernet)
    request = ask(params={"password": PASSWORD}, defaults=["a"])
    assert (request.params_changed, request.sealed_params) == (True, None)


def test_a_question_has_a_bounded_length() -> None:
    with pytest.raises(LargeRequestError, match="at most 262144 can be asked"):
        ask(body="x" * human_input.MOST_ASKED)


@pytest.mark.usefixtures("key")
def test_a_task_goes_on_with_its_own_arguments_and_the_answer() -> None:
    own = sealing.seal({"step": 2})
    event = {"chosen_options": ["a"], "params_input": {"password": "***"}}
    assert resumed_kwargs(resuming()) is None
    assert resumed_kwargs(resuming(next_method="m", next_kwargs=own)) == {"step": 2}
    answered = resuming(next_method="m", next_kwargs=own, input_kwargs={"event": event})
    assert resumed_kwargs(answered) == {"step": 2, "event": event}
    defaults = sealing.seal({"password": PASSWORD})
    by_default = resuming(next_method="m", input_kwargs={"event": event}, default_params=defaults)
    assert resumed_kwargs(by_default) == {"event": {**event, "params_input": {"password": "from the file"}}}


def test_a_trigger_is_told_that_nobody_has_answered_until_time_is_up() -> None:
    asked = HumanInput(TryRecord())
    assert not asked.get_detail_response(uuid.uuid4()).response_received
    defaults = asked.update_response(ti_id=uuid.uuid4(), chosen_options=["a"], params_input={"x": 1})
    assert (defaults.chosen_options, defaults.params_input, defaults.responded_at is not None) == (
        ["a"],
        {"x": 1},
        True,
    )
