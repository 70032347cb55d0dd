"""Reading logs back: from several files and from remote storage, in order, and only once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import log as airflow_log

from temporal_airflow.tasks.log_reader import LoggedTry, LogReader, RemoteLogError


class Storage:
    """A remote storage that has these texts."""

    processors = ()

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        if not self.texts:
            raise PermissionError("forbidden")
        return [relative_path], list(self.texts)


def line(second: int, text: str) -> str:
    return json.dumps({"timestamp": f"2026-05-01T00:00:{second:02}Z", "event": text})


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogReader:
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    use(monkeypatch, None)
    return LogReader(LoggedTry("d", "r", "t", -1, 1, Path("t/attempt=1.log")))


def use(monkeypatch: pytest.MonkeyPatch, storage: Storage | None) -> None:
    monkeypatch.setattr(airflow_log, "load_remote_log_handler", lambda: storage)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as log:
        log.write("".join(f"{each}\n" for each in lines))


def test_files_are_merged_in_order_of_time(reader: LogReader) -> None:
    write(reader.path, line(1, "defers"), "  of an error", line(5, "resumed"))
    write(reader.path.with_name("attempt=1.log.trigger.2.log"), line(4, "fires"))
    write(reader.path.with_name("attempt=1.log.trigger.1.log"), line(2, "starts"))
    write(reader.path.with_name("attempt=10.log"), line(3, "another try"))
    assert reader.lines() == [
        line(1, "defers"),
        "  of an error",
        line(2, "starts"),
        line(4, "fires"),
        line(5, "resumed"),
    ]


def test_a_log_that_grows_is_read_on(reader: LogReader) -> None:
    assert reader.new_local_lines() == []
    write(reader.path, line(1, "one"))
    with reader.path.open("a") as log:
        log.write("half a")
    assert reader.new_local_lines() == [line(1, "one")]
    write(reader.path, " line")
    write(reader.path.with_name("attempt=1.log.trigger.1.log"), line(2, "starts"))
    assert reader.new_local_lines() == ["half a line", line(2, "starts")]
    assert (reader.new_local_lines(), reader.lines(), reader.has_given) == ([], [], True)


def test_only_what_is_not_here_comes_from_the_remote_storage(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Storage(f"{line(1, 'there')}\n{line(2, 'here')}\n{line(2, 'here')}\n", f"{line(3, 'trigger')}\n"))
    write(reader.path, line(2, "here"))
    assert reader.lines() == [line(1, "there"), line(2, "here"), line(2, "here"), line(3, "trigger")]
    assert reader.lines() == []


def test_a_remote_storage_that_can_not_be_read_is_an_error(reader: LogReader, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Storage())
    with pytest.raises(RemoteLogError, match="PermissionError: forbidden"):
        reader.lines()
