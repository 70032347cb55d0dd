"""The logs of triggers, one file for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk import log as airflow_logging

from temporal_airflow.tasks.triggers.logs import TriggerLogs


class Storage:
    """Remote log storage that remembers, or refuses."""

    def __init__(self, error: Exception | None = None) -> None:
        self.uploads: list[tuple[str, object]] = []
        self._error = error

    def upload(self, path: str, task_instance: object) -> None:
        if self._error:
            raise self._error
        self.uploads.append((path, task_instance))


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TriggerLogs:
    monkeypatch.setattr(airflow_logging, "init_log_file", lambda path: tmp_path / path)
    return TriggerLogs()


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"timestamp": "now", "level": "info", "event": event, **fields}).encode() + b"\n"


def test_lines_are_sorted_by_trigger(logs: TriggerLogs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.open(1, Path("one.log"))
    logs.open(2, Path("two.log"))
    logs.write(line("first", trigger_id=1))
    logs.write(line("second", trigger_id=2, exception=[{"exc_type": "ValueError"}]))
    logs.write(line("nobody's"))
    assert json.loads((tmp_path / "one.log").read_text()) == {"timestamp": "now", "level": "info", "event": "first"}
    assert json.loads((tmp_path / "two.log").read_text())["error_detail"] == [{"exc_type": "ValueError"}]
    assert "nobody's" in capsys.readouterr().err


def test_a_later_trigger_of_the_try_appends(logs: TriggerLogs, tmp_path: Path) -> None:
    for trigger in (1, 2):
        logs.open(trigger, Path("try.log"))
        logs.write(line(f"trigger {trigger}", trigger_id=trigger))
        logs.close(trigger, None)
    assert [json.loads(text)["event"] for text in (tmp_path / "try.log").read_text().splitlines()] == [
        "trigger 1",
        "trigger 2",
    ]


def test_a_finished_log_goes_to_the_remote_storage(logs: TriggerLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage()
    monkeypatch.setattr(airflow_logging, "load_remote_log_handler", lambda: storage)
    logs.open(1, Path("try.log"))
    logs.close(1, "the task instance")
    logs.close(1, "the task instance")
    assert storage.uploads == [("try.log", "the task instance")]


def test_a_storage_that_refuses_harms_no_trigger(logs: TriggerLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_logging, "load_remote_log_handler", lambda: Storage(ValueError("full")))
    logs.open(1, Path("try.log"))
    logs.close(1, None)
