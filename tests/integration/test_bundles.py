"""DAG bundles: several at once, and a run that stays with the version it was started with."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from run_bench import EndedRun, RunBench
from temporal_airflow.client import now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.models import LoadDagInput, LoadedDag
from temporal_airflow.tasks.slots import ProcessTemplate
from waiting import until

VERSIONED = """
import time
from datetime import datetime
from pathlib import Path
from airflow.sdk import dag, task
from its_module import NUMBER

@dag(schedule=None, start_date=datetime(2026, 1, 1), on_success_callback=lambda context: note(context, "callback"))
def is_versioned():
    @task
    def waits(**context):
        note(context, "task")
        while not (Path(context["dag_run"].conf["scratch"]) / "gate").exists():
            time.sleep(0.05)

    @task
    def tells(ti=None):
        return [VERSION, NUMBER, ti.bundle_instance.name]

    waits() >> tells()

def note(context, who):
    with (Path(context["dag_run"].conf["scratch"]) / "notes").open("a") as notes:
        notes.write(f"{who} {VERSION} {NUMBER}\\n")

is_versioned()
"""
LOCAL = """
from datetime import datetime
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2026, 1, 1))
def is_local():
    @task
    def tells(ti=None):
        return [ti.bundle_instance.name, ti.bundle_instance.version, __file__.endswith("packaged.zip/is_local.py")]

    tells()

is_local()
"""


class Repository:
    """A git repository with one DAG file and a module.

    Attributes:
        template: forks processes that know it as a DAG bundle, beside a local one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.template: ProcessTemplate
        folder.mkdir()
        self._git("init", "--initial-branch=main")

    def commit(self, version: int) -> str:
        """A new version of everything; its id."""
        (self.folder / "is_versioned.py").write_text(f"VERSION = {version}\n{VERSIONED}")
        (self.folder / "its_module.py").write_text(f"NUMBER = {version}\n")
        self._git("add", ".")
        self._git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-m", f"version {version}")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()


@pytest_asyncio.fixture(scope="module")
async def repository(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Repository]:
    """A git bundle beside a local one with a packaged DAG."""
    tmp_path = tmp_path_factory.mktemp("bundles")
    repository = Repository(tmp_path / "repository")
    repository.commit(1)
    local = tmp_path / "local"
    local.mkdir()
    with zipfile.ZipFile(local / "packaged.zip", "w") as package:
        package.writestr("is_local.py", LOCAL)
    (local / ".airflowignore").write_text("broken*\n")
    (local / "broken.py").write_text("raise ValueError('airflow must not look at this dag')\n")
    bundles = [
        {
            "name": "local",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(local)},
        },
        {
            "name": "repository",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {"repo_url": str(repository.folder), "tracking_ref": "main"},
        },
    ]
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
    }
    async with ProcessTemplate.start(environment) as template:
        repository.template = template
        yield repository


async def _load(bench: RunBench, repository: Repository, dag_id: str, run_id: str) -> LoadedDag:
    bench.template = repository.template
    conf = {"scratch": str(bench.scratch)}
    return await load_dag(bench.template, LoadDagInput(dag_id=dag_id, run_id=run_id, conf=conf, now=now()))


async def _start(bench: RunBench, loaded: LoadedDag) -> str:
    workflow_id = await bench.client.start(loaded, task_queue=bench.task_queue, route_queues=False)
    bench.started.append(workflow_id)
    return workflow_id


async def test_a_run_stays_with_the_version_it_was_started_with(bench: RunBench, repository: Repository) -> None:
    first = await _load(bench, repository, "is_versioned", "first")
    assert first.definition.bundle.name == "repository"
    async with bench.worker():
        started = await _start(bench, first)
        await until("its first task runs", lambda: bench.notes("notes") == ["task 1 1"])
        head = repository.commit(2)
        second = await _load(bench, repository, "is_versioned", "second")
        assert second.definition.bundle.version == head != first.definition.bundle.version
        (bench.scratch / "gate").touch()
        ended: EndedRun = await bench.end(started)
        assert (ended.state, ended.xcom("tells")) == ("success", [1, 1, "repository"])
        ended = await bench.end(await _start(bench, second))
        assert (ended.state, ended.xcom("tells")) == ("success", [2, 2, "repository"])
    assert bench.notes("notes") == ["task 1 1", "callback 1 1", "task 2 2", "callback 2 2"]


async def test_a_packaged_dag_of_another_bundle_runs(bench: RunBench, repository: Repository) -> None:
    loaded = await _load(bench, repository, "is_local", "packaged")
    assert (loaded.definition.bundle.name, loaded.definition.bundle.version) == ("local", None)
    async with bench.worker():
        ended = await bench.end(await _start(bench, loaded))
    assert ended.xcom("tells") == ["local", None, True]
