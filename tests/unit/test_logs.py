"""Where logs are, and how they read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.utils.types import DagRunType

from temporal_airflow.exceptions import InputError
from temporal_airflow.models import DagRunIdentity
from temporal_airflow.tasks import logs
from temporal_airflow.tasks.bundles import bundle_environment

RUN = DagRunIdentity(dag_id="dag", run_id="run", run_type=DagRunType.MANUAL, run_after=datetime(2026, 5, 1, tzinfo=UTC))


def test_the_default_path_is_airflows() -> None:
    assert logs.log_path(RUN, "group.task", -1, 2) == Path("dag_id=dag/run_id=run/task_id=group.task/attempt=2.log")
    mapped = logs.log_path(RUN, "task", 0, 1)
    assert mapped == Path("dag_id=dag/run_id=run/task_id=task/map_index=0/attempt=1.log")


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{{ ti.dag_id }}/{{ ts }}/{{ try_number }}.log", "dag/2026-05-01T00:00:00+00:00/3.log"),
        ("{dag_id}/{task_id}/{logical_date}/{try_number}.log", "dag/task/2026-05-01T00:00:00+00:00/3.log"),
    ],
)
def test_a_configured_template_is_followed(monkeypatch: pytest.MonkeyPatch, template: str, path: str) -> None:
    monkeypatch.setenv("AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE", template)
    assert logs.log_path(RUN, "task", -1, 3) == Path(path)


def test_no_name_leads_out_of_the_folder() -> None:
    with pytest.raises(InputError, match="base_log_folder"):
        logs.log_path(RUN.model_copy(update={"run_id": "x/../../.."}), "task", -1, 1)
    with pytest.raises(InputError, match="base_log_folder"):
        logs.callback_log_path(RUN.model_copy(update={"run_id": "x/../../.."}))


def test_a_message_is_one_line() -> None:
    event = {"timestamp": "2026-05-01T00:00:00Z", "level": "warning", "event": "careful", "logger": "task"}
    assert list(logs.render(json.dumps(event))) == ["[2026-05-01T00:00:00Z] WARNING - careful"]


def test_an_error_reads_like_a_traceback_cause_first() -> None:
    frames = [{"filename": "dag.py", "lineno": 7, "name": "execute"}]
    effect = {"exc_type": "RuntimeError", "exc_value": "effect", "exc_notes": ["a note"], "frames": frames}
    cause = {"exc_type": "ValueError", "exc_value": "cause", "exc_notes": [], "frames": []}
    event = {"timestamp": "now", "level": "error", "event": "Task failed", "error_detail": [effect, cause]}
    assert list(logs.render(json.dumps(event))) == [
        "[now] ERROR - Task failed",
        "Traceback (most recent call last):",
        "ValueError: cause",
        "The error above led to:",
        "Traceback (most recent call last):",
        '  File "dag.py", line 7, in execute',
        "RuntimeError: effect",
        "a note",
    ]


@pytest.mark.parametrize("line", ["plain text", "", "[1, 2]", '{"half": '])
def test_what_is_no_event_is_shown_as_it_is(line: str) -> None:
    assert list(logs.render(line)) == [line]


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "attempt=1.log"
    file.write_bytes(b'{"timestamp": "t", "level": "info", "event": "hello"}\nnot \xff utf-8\n')
    assert list(logs.read(file)) == ["[t] INFO - hello", "not � utf-8"]


def test_a_folder_becomes_the_only_bundle(tmp_path: Path) -> None:
    environment = bundle_environment(tmp_path)
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path)
    (bundle,) = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"]["path"] == str(tmp_path)
