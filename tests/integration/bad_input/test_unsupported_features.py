"""Features of Airflow that this version can't run: refused by name, before anything starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from command_line import CommandLine
from refused_commands import Refusals
from temporal_airflow.client import now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.support import REFUSALS, Refusal
from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import LoadDagInput
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate

DAG_WITH = """
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, task

def t(): ...

with DAG({dag}):
    {task}
"""
OWN_REFERENCE = "type('Own', (type(DeadlineReference.DAGRUN_QUEUED_AT).__mro__[1],), {'__module__': 'own'})()"
DEADLINE = "DeadlineAlert({}, interval=timedelta(1), callback={})"
# What uses a feature, by the feature's first words.
TASKS = {
    "outlets": ["EmptyOperator(task_id='t', outlets=[Asset('a')])"],
    "run_as_user": [
        "EmptyOperator(task_id='t', run_as_user='somebody')",
        "EmptyOperator.partial(task_id='t', run_as_user='somebody').expand(doc=['a'])",
    ],
    "a task's own executor": ["EmptyOperator(task_id='t', executor='LocalExecutor')"],
    "tasks in another language": ["task.stub(t)()"],
}
DAGS = {
    "deadlines with a reference point": "'d', deadline=" + DEADLINE.format(OWN_REFERENCE, "AsyncCallback('a.b')"),
    "deadline callbacks with an executor": "'d', deadline="
    + DEADLINE.format("DeadlineReference.DAGRUN_QUEUED_AT", "SyncCallback('a.b', executor='x')"),
    "max_consecutive_failed_dag_runs": "'d', max_consecutive_failed_dag_runs=1",
}
LISTENER = """
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

class Listener:
    @hookimpl
    def on_asset_changed(self, asset): ...

class Plugin(AirflowPlugin):
    name = "listens"
    listeners = [Listener()]
"""
INSTALLATIONS = {
    "outlets with listeners of assets": {"AIRFLOW__CORE__PLUGINS_FOLDER": "{folder}/plugins"},
    "outlets with an asset manager": {"AIRFLOW__CORE__ASSET_MANAGER_CLASS": "airflow.assets.manager.AssetManager"},
}


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("installation")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_template(own_folder: Path, commands: CommandLine) -> AsyncIterator[ProcessTemplate]:
    environment = commands.environment | bundle_environment(own_folder)
    async with ProcessTemplate.start(environment) as template:
        yield template


@asynccontextmanager
async def installation(
    feature: str, own_template: ProcessTemplate, folder: Path, commands: CommandLine
) -> AsyncIterator[ProcessTemplate]:
    """Task processes of an Airflow installation that uses a feature; most features need none of their own."""
    needed = [settings for key, settings in INSTALLATIONS.items() if feature.startswith(key)]
    if not needed:
        yield own_template
        return
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "listens.py").write_text(LISTENER)
    settings = {name: value.format(folder=folder) for name, value in needed[0].items()}
    async with ProcessTemplate.start(commands.environment | bundle_environment(folder) | settings) as template:
        yield template


def uses(feature: str, table: dict[str, list[str]] | dict[str, str]) -> list[str]:
    return [key for key in table if feature.startswith(key)]


def sources(refusal: Refusal) -> list[str]:
    """DAG files that use what is refused, one each."""
    if refusal.of_task:
        [key] = uses(refusal.feature, TASKS)
        return [DAG_WITH.format(dag="'d'", task=each) for each in TASKS[key]]
    [key] = uses(refusal.feature, DAGS)
    return [DAG_WITH.format(dag=DAGS[key], task="pass")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.feature.partition(" (")[0])
async def test_a_feature_that_this_version_can_not_run(
    own_template: ProcessTemplate, own_folder: Path, commands: CommandLine, refusal: Refusal
) -> None:
    file = own_folder / "refused.py"
    task = ", task 't'" if refusal.of_task else ""
    async with installation(refusal.feature, own_template, own_folder, commands) as template:
        for source in sources(refusal):
            file.write_text(source)
            with pytest.raises(UnsupportedFeatureError) as refused:
                await load_dag(template, LoadDagInput(path=str(file), now=now()))
            said = str(refused.value).splitlines()
            assert f"DAG 'd'{task} uses {refusal.feature}: {refusal.remedy}." in said, source


def test_what_is_refused_names_dag_task_feature_and_remedy(refused: Refusals, dags: Path) -> None:
    (dags / "other_user.py").write_text(DAG_WITH.format(dag="'d'", task=TASKS["run_as_user"][0]))
    said = refused.run("other_user.py")
    assert "DAG 'd', task 't' uses run_as_user: run the worker as that user" in said
