"""How the ``temporal`` command is found or fetched, with small scripts in place of ``temporal`` and ``go``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from temporal_airflow.dev_server import fetch
from temporal_airflow.dev_server.binary import find_binary, read_version
from temporal_airflow.exceptions import ServerError, VersionMismatchError
from temporal_airflow.settings import Settings

CURRENT = "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"
NO_DOWNLOAD = "raise SystemExit('no network')"
SYSTEM_PATH = "/usr/bin:/bin"

FIND = """
import sys
from pathlib import Path
from temporal_airflow.dev_server import fetch
from temporal_airflow.dev_server.binary import find_binary
from temporal_airflow.settings import Settings

fetch.DOWNLOAD_SCRIPT = "raise SystemExit('no network')"
fetch.REPORT_INTERVAL = 0.1
print("found", find_binary(Settings(cache_folder=Path(sys.argv[1])), print))
"""

FAKE_GO = """
echo "$@" >> {record}
echo "go: downloading example.com/module v1.0.0" >&2
echo "example.com/package" >&2
{action}
mkdir -p "$GOBIN"
printf '#!/bin/sh\\necho "{version}"\\n' > "$GOBIN/temporal"
chmod +x "$GOBIN/temporal"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on a PATH with neither ``temporal`` nor ``go``; nothing can be downloaded."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{SYSTEM_PATH}")
    monkeypatch.setattr(fetch, "DOWNLOAD_SCRIPT", NO_DOWNLOAD)
    monkeypatch.setattr(fetch, "REPORT_INTERVAL", 0.1)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_folder=tmp_path / "data", cache_folder=tmp_path / "cache")


@pytest.fixture
def reports() -> list[str]:
    return []


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{textwrap.dedent(body)}")
    path.chmod(0o755)
    return path


def fake_temporal(path: Path, version: str = CURRENT) -> Path:
    return script(path, f"echo '{version}'\n")


def fake_go(programs: Path, action: str = ":") -> Path:
    record = programs / "go-runs.txt"
    script(programs / "go", FAKE_GO.format(record=record, action=action, version=CURRENT))
    return record


def start_finder(settings: Settings) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", FIND, str(settings.cache_folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def cached(settings: Settings) -> Path:
    return settings.cache_folder / "bin" / "temporal-1.5.1"


def test_the_one_on_path_comes_first(programs: Path, settings: Settings, reports: list[str]) -> None:
    fake_temporal(cached(settings))
    on_path = fake_temporal(programs / "temporal")
    assert find_binary(settings, reports.append) == on_path
    assert reports == []


@pytest.mark.parametrize(
    "old",
    ["temporal version 0.11.0 (server 1.22.3) (ui 2.21.3)", "temporal version 1.3.0 (Server 1.27.1, UI 2.36.0)"],
)
def test_an_old_one_on_path_is_refused(programs: Path, settings: Settings, old: str) -> None:
    on_path = fake_temporal(programs / "temporal", old)
    with pytest.raises(VersionMismatchError) as refusal:
        find_binary(settings, print)
    assert str(on_path) in str(refusal.value)
    assert old in str(refusal.value)
    assert "1.28.0 or newer" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "server"), [(CURRENT, "1.29.1"), ("temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)", "1.29.1")]
)
def test_the_servers_version_is_read(tmp_path: Path, text: str, server: str) -> None:
    assert read_version(fake_temporal(tmp_path / "temporal", text)).server_name == server


def test_another_program_of_that_name_is_passed_over(programs: Path, settings: Settings) -> None:
    script(programs / "temporal", "echo 'a calendar'\n")
    fake_temporal(cached(settings))
    assert find_binary(settings, print) == cached(settings)


def test_a_cached_one_is_used_without_anything_else(programs: Path, settings: Settings, reports: list[str]) -> None:
    runs = fake_go(programs)
    fake_temporal(cached(settings))
    assert find_binary(settings, reports.append) == cached(settings)
    assert reports == []
    assert not runs.exists()


def test_a_download_is_kept(
    programs: Path, settings: Settings, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = f"path.write_text({json.dumps(f'#!/bin/sh{os.linesep}echo {CURRENT!r}{os.linesep}')})"
    download = f"import pathlib, sys; path = pathlib.Path(sys.argv[1], 'temporal-cli'); {write}; path.chmod(0o755)"
    monkeypatch.setattr(fetch, "DOWNLOAD_SCRIPT", download)
    assert find_binary(settings, reports.append) == cached(settings)
    assert read_version(cached(settings)).text == CURRENT
    assert reports[0].startswith("Downloading the Temporal server")


def test_a_download_that_hangs_is_given_up(programs: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "DOWNLOAD_SCRIPT", "import time; time.sleep(600)")
    monkeypatch.setattr(fetch, "DOWNLOAD_TIMEOUT", 0.3)
    with pytest.raises(ServerError, match="not done after"):
        find_binary(settings, print)


def test_a_build_shows_its_progress_and_is_kept(programs: Path, settings: Settings, reports: list[str]) -> None:
    runs = fake_go(programs, action="sleep 0.5")
    assert find_binary(settings, reports.append) == cached(settings)
    assert "install -v -ldflags" in runs.read_text()
    assert any("1 modules downloaded, 1 packages compiled" in report for report in reports)
    assert find_binary(settings, reports.append) == cached(settings)
    assert len(runs.read_text().splitlines()) == 1


def test_when_every_way_fails_one_message_names_each(programs: Path, settings: Settings) -> None:
    script(programs / "go", "echo 'module lookup disabled' >&2; exit 1\n")
    with pytest.raises(ServerError) as failure:
        find_binary(settings, print)
    lines = str(failure.value).splitlines()
    assert [line.split(":")[0].strip(" -") for line in lines[1:-1]] == [
        "PATH",
        "cache",
        "download by the Temporal SDK",
        "build with Go",
    ]
    assert "no network" in lines[3]
    assert "module lookup disabled" in lines[4]
    assert "[temporal] address" in lines[-1]


def test_concurrent_finders_build_once(programs: Path, settings: Settings) -> None:
    runs = fake_go(programs, action="sleep 1")
    finders = [start_finder(settings) for _ in range(3)]
    answers = [finder.communicate(timeout=60)[0] for finder in finders]
    assert all(answer.strip().endswith(f"found {cached(settings)}") for answer in answers), answers
    assert len(runs.read_text().splitlines()) == 1
    assert sum("Another process fetches" in answer for answer in answers) == 2


def test_a_killed_builder_takes_its_build_along_and_leaves_nothing_broken(
    programs: Path, settings: Settings, tmp_path: Path
) -> None:
    pid_file = tmp_path / "go.pid"
    runs = fake_go(programs, action=f"echo $$ > {pid_file}; exec sleep 30")
    builder = start_finder(settings)
    assert builder.stdout is not None
    next(line for line in builder.stdout if "1 packages compiled" in line)
    builder.kill()
    builder.communicate()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid_file.read_text())).wait(timeout=10)
    fake_go(programs)
    assert find_binary(settings, print) == cached(settings)
    assert len(runs.read_text().splitlines()) == 2
    assert list(cached(settings).parent.glob("fetch-*")) == []
