"""Bad input through the command line: one clear message, an exit code of 2 or 3, and nothing started."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from command_line import CommandLine, Ended
from temporal_airflow import identifiers
from temporal_airflow.client import now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.support import REFUSALS, Refusal
from temporal_airflow.exceptions import InputError, UnsupportedFeatureError
from temporal_airflow.models import LoadDagInput
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate

BAD_INPUT, NO_SERVER = 2, 3
DAGS_FOLDER = Path(__file__).parent.parent / "dags"
COMMANDS = ("run", "worker", "trigger", "status", "list", "logs", "xcom", "cancel", "dev", "doctor")

FILES = {
    "good.py": """
from airflow.sdk import DAG, task

with DAG("good"):
    @task
    def one():
        return 1
    one()
""",
    "syntax_error.py": """
from airflow.sdk import DAG

with DAG("broken":
    pass
""",
    "import_error.py": """
from airflow.sdk import DAG
import no_such_module_of_mine
""",
    "key_error.py": """
def settings():
    return {}["missing key"]

settings()
""",
    "no_dag.py": """
answer = 42
""",
    "several.py": """
from airflow.sdk import DAG

with DAG("orders"):
    pass
with DAG("customers"):
    pass
""",
    "params.py": """
from airflow.sdk import DAG, Param

with DAG("params", params={"count": Param(1, type="integer", minimum=0)}):
    pass
""",
    "cycle.py": """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("cycle"):
    a = EmptyOperator(task_id="a")
    b = EmptyOperator(task_id="b")
    a >> b >> a
""",
    "many.py": """
from airflow.sdk import DAG, task

with DAG("many"):
    @task
    def one(number):
        return number
    one.expand(number=list(range(501)))
""",
    "too_large.py": """
from airflow.sdk import DAG
from temporal_airflow.tasks import dag_loading

dag_loading.MAX_COMPRESSED_DAG = 100  # this file and its loading share a process

with DAG("too_large"):
    pass
""",
    "exits.py": """
import sys
sys.exit("no licence for this")
""",
    "dies.py": """
import os
os._exit(7)
""",
    "unserializable.py": """
from airflow.sdk import DAG
from airflow.timetables.base import Timetable

class Mine(Timetable):
    def infer_manual_data_interval(self, *, run_after):
        raise ValueError("no interval today")

with DAG("unserializable", schedule=Mine()):
    pass
""",
    "notes.txt": "no DAG here",
    "binary.py": "\x00\x01",
}


@dataclass
class Refusals:
    """Runs commands that must be refused."""

    commands: CommandLine
    dags: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, file: str, *arguments: str | Path, **options: Any) -> str:
        return self.call("run", self.dags / file, *arguments, **options)

    def call(self, *arguments: str | Path, exit_code: int = BAD_INPUT, before: str = "", **environment: str) -> str:
        """What the refused command says."""
        return self.check(self.commands.call(*arguments, before=before, **self.environment | environment), exit_code)

    def check(self, ended: Ended, exit_code: int = BAD_INPUT) -> str:
        assert (ended.exit_code, ended.stdout) == (exit_code, ""), ended
        assert ended.stderr.count("Error: ") + ended.stderr.count("─ Error ─") >= 1
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count('File "') == ended.stderr.count(f'File "{self.dags}')
        return ended.stderr


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    for name, source in FILES.items():
        (folder / name).write_text(source.lstrip())
    return folder


@pytest_asyncio.fixture
async def refused(commands: CommandLine, dags: Path, server: Client) -> AsyncIterator[Refusals]:
    """For commands that may look at the server, and must start nothing on it."""
    before = await run_ids(server)
    yield Refusals(commands, dags)
    assert await run_ids(server) == before


@pytest.fixture
def refused_at_once(commands: CommandLine, dags: Path, tmp_path: Path) -> Iterator[Refusals]:
    """For commands that must not even start a server."""
    data = tmp_path / "data"
    yield Refusals(commands, dags, {"AIRFLOW__TEMPORAL__DATA_FOLDER": str(data)})
    assert not data.exists()


@pytest.fixture(scope="module")
def ended_run(commands: CommandLine, dags: Path) -> str:
    """A run of the DAG `good` that has ended."""
    assert commands.call("run", dags / "good.py", "--run-id", "ended").exit_code == 0
    return "good/ended"


@pytest.fixture(scope="module")
def waiting_run(commands: CommandLine, dags: Path) -> str:
    """An open run of the DAG `good` that waits for a worker."""
    triggered = commands.call("trigger", dags / "good.py", "--run-id", "open")
    assert triggered.stdout == "dag-good-open\n"
    return "good/open"


@pytest_asyncio.fixture(scope="module")
async def open_run(server: Client) -> str:
    """An open run that no worker serves, of DAG `a-b`; its run id is `c`."""
    memo = {"dag_id": "a-b", "run_id": "c"}
    await server.start_workflow(identifiers.WORKFLOW_TYPE, id="dag-a-b-c", task_queue="nobody", memo=memo)
    return "a-b/c"


async def run_ids(server: Client) -> set[str]:
    query = f'WorkflowType = "{identifiers.WORKFLOW_TYPE}"'
    return {execution.id async for execution in server.list_workflows(query)}


# The file


def test_a_missing_file(refused_at_once: Refusals) -> None:
    assert "nowhere.py doesn't exist" in refused_at_once.run("nowhere.py")


def test_a_folder(refused_at_once: Refusals) -> None:
    assert "is a folder; name the DAG file in it" in refused_at_once.run("")


def test_a_file_that_is_not_python_by_its_name(refused_at_once: Refusals) -> None:
    assert "notes.txt is not a Python file: its name must end in .py" in refused_at_once.run("notes.txt")


def test_a_file_that_is_not_python_by_its_content(refused: Refusals) -> None:
    assert "binary.py can't be imported:\nSyntaxError: source code string" in refused.run("binary.py")


def test_a_syntax_error(refused: Refusals) -> None:
    said = refused.run("syntax_error.py")
    assert 'syntax_error.py", line 3\n    with DAG("broken":\n' in said
    assert "SyntaxError: invalid syntax" in said


def test_an_import_error(refused: Refusals) -> None:
    said = refused.run("import_error.py")
    assert 'import_error.py", line 2, in <module>\n    import no_such_module_of_mine' in said
    assert "No module named 'no_such_module_of_mine'" in said


def test_an_error_while_the_file_is_imported(refused: Refusals) -> None:
    said = refused.run("key_error.py")
    assert "line 4, in <module>" in said
    assert "line 2, in settings" in said
    assert "KeyError: 'missing key'" in said


def test_a_file_that_exits(refused: Refusals) -> None:
    assert "SystemExit: no licence for this" in refused.run("exits.py")


def test_a_file_that_ends_its_process(refused: Refusals) -> None:
    assert "dies.py ended the process that loaded it" in refused.run("dies.py")


def test_a_file_without_a_dag(refused: Refusals) -> None:
    assert "No DAG found in" in refused.run("no_dag.py")


def test_several_dags_and_no_dag_id(refused: Refusals) -> None:
    assert "several.py holds several DAGs: customers, orders. Choose one with --dag-id" in refused.run("several.py")


def test_an_unknown_dag_id(refused: Refusals) -> None:
    said = refused.run("several.py", "--dag-id", "order")
    assert "No DAG 'order' in" in said
    assert "it has: customers, orders. Did you mean 'orders'?" in said


def test_a_dag_with_a_cycle(refused: Refusals) -> None:
    assert "Cycle detected in Dag: cycle. Faulty task: b" in refused.run("cycle.py")


def test_a_dag_that_airflow_can_not_serialize(refused: Refusals) -> None:
    said = refused.run("unserializable.py")
    assert "unserializable.py can't be prepared for a run: SerializationError: " in said
    assert "is not registered" in said


def test_more_than_500_task_instances(refused: Refusals) -> None:
    assert "DAG 'many' has 501 task instances; this version runs at most 500 in one run" in refused.run("many.py")


def test_a_dag_too_large_for_a_payload(refused: Refusals) -> None:
    said = refused.run("too_large.py")
    assert "DAG 'too_large' is too large" in said
    assert "the limit is 100. Split the DAG" in said


# The run asked for


@pytest.mark.parametrize(
    ("conf", "problem"),
    [
        ("{nope", "--conf is not JSON"),
        ('{"a": NaN}', "--conf is not JSON: NaN"),
        ("[1]", '--conf must be a JSON object such as {"key": 1}, not list'),
        ("@/nowhere/conf.json", "The conf file '/nowhere/conf.json' can't be read: [Errno 2] No such file"),
        (f"@{sys.executable}", f"The conf file '{sys.executable}' can't be read: 'utf-8' codec"),
    ],
)
def test_a_bad_conf(refused_at_once: Refusals, conf: str, problem: str) -> None:
    assert problem in refused_at_once.run("good.py", "--conf", conf)


def test_a_conf_that_does_not_fit_the_params(refused: Refusals) -> None:
    said = refused.run("params.py", "--conf", '{"count": "many"}')
    assert "The conf doesn't fit the params of DAG 'params'" in said
    assert "param count: 'many' is not of type 'integer'" in said


def test_a_conf_that_is_too_large(refused: Refusals, tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text('{"data": "' + "x" * 200_000 + '"}')
    assert "The conf is too large: 200,012 bytes of JSON" in refused.run("good.py", "--conf", f"@{conf}")


@pytest.mark.parametrize("date", ["yesterday", "", "2026-02-30", "0001-01-01T00:00:00+10:00"])
def test_a_bad_logical_date(refused_at_once: Refusals, date: str) -> None:
    said = refused_at_once.run("good.py", "--logical-date", date)
    assert f"--logical-date {date!r} is not a date; write it like 2026-01-31T06:00:00+00:00" in said


@pytest.mark.parametrize(
    ("run_id", "problem"),
    [
        ("scheduled__2026-01-01T00:00:00+00:00", "is reserved for scheduled runs; choose another"),
        ("a/b", "must not contain '..' or '/'"),
    ],
)
def test_a_reserved_run_id_or_a_path(refused: Refusals, run_id: str, problem: str) -> None:
    assert problem in refused.run("good.py", "--run-id", run_id)


@pytest.mark.parametrize(
    ("run_id", "problem"),
    [
        ("two words", "Choose one of letters, digits and the characters _.~:+-"),
        ("", "must not be empty; leave it out to have one made"),
        ("x" * 249, "has 249 characters, the limit is 248"),
    ],
    ids=["space", "empty", "long"],
)
async def test_any_other_bad_run_id(template: ProcessTemplate, run_id: str, problem: str) -> None:
    path = DAGS_FOLDER / "command_line" / "flaky.py"
    with pytest.raises(InputError, match=re.escape(problem)):
        await load_dag(template, LoadDagInput(path=str(path), run_id=run_id, now=now()))


def test_a_run_id_of_a_run_that_has_ended(ended_run: str, refused: Refusals) -> None:
    said = refused.run("good.py", "--run-id", "ended")
    assert "Run 'ended' of DAG 'good' exists already: success. Choose another --run-id" in said


def test_a_run_id_of_a_run_that_is_open(waiting_run: str, refused: Refusals) -> None:
    said = refused.call("trigger", refused.dags / "good.py", "--run-id", "open")
    assert "Run 'open' of DAG 'good' exists already: running. Choose another --run-id" in said


@pytest.mark.usefixtures("open_run")
def test_a_workflow_id_that_belongs_to_another_run(refused: Refusals) -> None:
    (refused.dags / "a.py").write_text("from airflow.sdk import DAG\nwith DAG('a'):\n    pass\n")
    said = refused.run("a.py", "--run-id", "b-c")
    assert "would have the workflow id 'dag-a-b-c', which belongs to run 'c' of DAG 'a-b'" in said
    assert "Choose another run id" in said


# The server


@pytest.mark.parametrize("variable", ["AIRFLOW__TEMPORAL__ADDRESS", "TEMPORAL_ADDRESS"])
def test_an_address_where_nothing_listens(refused: Refusals, variable: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        said = refused.call(
            "list", exit_code=NO_SERVER, AIRFLOW__TEMPORAL__CONNECT_TIMEOUT="0.7", **{variable: address}
        )
    assert f"No Temporal server answers at {address} (tried for 0.7 s: Connection refused)" in said
    assert "correct [temporal] address / TEMPORAL_ADDRESS" in said


def test_a_server_that_is_silent(refused: Refusals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        said = refused.run(
            "good.py",
            exit_code=NO_SERVER,
            AIRFLOW__TEMPORAL__CONNECT_TIMEOUT="0.7",
            AIRFLOW__TEMPORAL__ADDRESS=address,
        )
    assert f"No Temporal server answers at {address} (tried for 0.7 s)" in said


@pytest.mark.parametrize("address", ["not an address", "host:port", "http://"])
def test_an_address_that_is_none(refused: Refusals, address: str) -> None:
    said = refused.call("list", TEMPORAL_ADDRESS=address, AIRFLOW__TEMPORAL__CONNECT_TIMEOUT="0.7")
    assert f"The Temporal server's address {address!r} can't be used" in said
    assert "Write it as host:port" in said


def test_a_wrong_namespace(refused: Refusals, server: Client) -> None:
    address = server.service_client.config.target_host
    said = refused.call("list", exit_code=NO_SERVER, TEMPORAL_ADDRESS=address, TEMPORAL_NAMESPACE="elsewhere")
    assert f"The Temporal server at {address} has no namespace 'elsewhere'" in said
    assert "temporal operator namespace create elsewhere" in said


def test_tls_to_a_server_without(refused: Refusals, server: Client) -> None:
    address = server.service_client.config.target_host
    said = refused.call("list", exit_code=NO_SERVER, TEMPORAL_ADDRESS=address, TEMPORAL_TLS="true")
    assert f"The connection to {address} uses TLS, and the server expects otherwise" in said
    assert "Set TEMPORAL_TLS" in said


def test_no_worker_to_load_a_dag(refused: Refusals) -> None:
    said = refused.call("trigger", "good", exit_code=NO_SERVER, AIRFLOW__TEMPORAL__TASK_QUEUE="nobody")
    assert "No worker serves task queue 'nobody'" in said
    assert "Start one with `temporal-airflow worker --dags-folder FOLDER`" in said


def test_an_open_run_that_no_worker_serves(waiting_run: str, refused: Refusals) -> None:
    said = refused.call("status", waiting_run, exit_code=NO_SERVER)
    assert "is open, and no worker of its task queue 'airflow-tasks' tells its state" in said


# The installation and its configuration


@pytest.mark.parametrize("command", [("run", "good.py"), ("trigger", "good.py"), ("worker",)], ids=lambda c: c[0])
@pytest.mark.parametrize("version", ["3.3.1", "3.4.0"])
def test_an_airflow_outside_the_range(refused_at_once: Refusals, command: tuple[str, ...], version: str) -> None:
    said = refused_at_once.call(*command, before=f"import airflow; airflow.__version__ = {version!r}")
    assert f"Airflow {version} is installed; temporal-airflow needs apache-airflow >=3.3.2,<3.4" in said
    assert "pip install 'apache-airflow>=3.3.2,<3.4'" in said


def test_a_bad_setting(refused_at_once: Refusals) -> None:
    said = refused_at_once.run("good.py", AIRFLOW__TEMPORAL__CONCURRENCY="several")
    assert "Setting [temporal] concurrency = 'several' can't be used" in said
    assert "Set it in airflow.cfg or in AIRFLOW__TEMPORAL__CONCURRENCY" in said


def test_a_data_folder_that_can_not_be_made(refused: Refusals, dags: Path) -> None:
    folder = dags / "notes.txt" / "data"
    said = refused.call("list", AIRFLOW__TEMPORAL__DATA_FOLDER=str(folder))
    assert f"The data folder {folder} can't be made: Not a directory. Set [temporal] data_folder" in said


def test_an_airflow_configuration_that_airflow_refuses(refused: Refusals) -> None:
    with refused.commands.start("run", refused.dags / "good.py", AIRFLOW__LOGGING__LOGGING_LEVEL="LOUD") as command:
        said = refused.check(command.ended())
    assert "`[logging] logging_level` should not be 'LOUD'" in said
    assert "Correct airflow.cfg or the AIRFLOW__* variable" in said


def test_task_processes_in_which_airflow_can_not_start(refused: Refusals, dags: Path) -> None:
    (dags / "airflow_local_settings.py").write_text("raise ValueError('my settings are broken')\n")
    said = refused.run("good.py", PYTHONPATH=str(dags))
    assert f'File "{dags}/airflow_local_settings.py", line 1' in said
    assert "ValueError: my settings are broken" in said
    assert "Correct Airflow's configuration or airflow_local_settings.py" in said


def test_a_dags_folder_that_is_missing(refused_at_once: Refusals) -> None:
    said = refused_at_once.call("worker", "--dags-folder", "/nowhere")
    assert "The DAGs folder /nowhere doesn't exist or is not a folder" in said


# Runs and tasks that aren't there


@pytest.mark.parametrize("command", [("status",), ("cancel",), ("logs", "one"), ("xcom", "one")], ids=lambda c: c[0])
@pytest.mark.parametrize("run", ["good/nope", "dag-good-nope"])
def test_an_unknown_run(refused: Refusals, command: tuple[str, ...], run: str) -> None:
    name, *task = command
    said = refused.call(name, run, *task)
    assert f"No run {run!r} is known to the server. `temporal-airflow list` shows the runs there are" in said


@pytest.mark.parametrize("run", ["", "good/", "/ended"])
def test_half_a_run(refused: Refusals, run: str) -> None:
    assert "dag_id/run_id" in refused.call("status", run)


@pytest.mark.parametrize("command", ["logs", "xcom"])
def test_an_unknown_task(ended_run: str, refused: Refusals, command: str) -> None:
    assert "Run 'ended' has no task 'two'; it has: one" in refused.call(command, ended_run, "two")


@pytest.mark.parametrize("command", ["logs", "xcom"])
def test_an_unknown_map_index(ended_run: str, refused: Refusals, command: str) -> None:
    said = refused.call(command, ended_run, "one", "--map-index", "3")
    assert "Task 'one' is not mapped; there is no map index 3 (--map-index)" in said


def test_an_unknown_try(ended_run: str, refused: Refusals) -> None:
    assert "Task 'one' has had 1 try; there is no try 2" in refused.call("logs", ended_run, "one", "--try", "2")


def test_an_unknown_xcom(ended_run: str, refused: Refusals) -> None:
    said = refused.call("xcom", ended_run, "one", "--key", "extra")
    assert "Task 'one' of 'good/ended' has no XCom 'extra'; it has: return_value" in said


def test_a_run_that_has_ended_can_not_be_cancelled(ended_run: str, refused: Refusals) -> None:
    assert "Run 'good/ended' has ended already: success" in refused.call("cancel", ended_run)


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "a.py", "b.py"),
        ("run", "a.py", "--ouput", "json"),
        ("run", "a.py", "--output", "xml"),
        ("go",),
    ],
    ids=" ".join,
)
def test_wrong_usage(refused_at_once: Refusals, arguments: tuple[str, ...]) -> None:
    assert "Try 'temporal-airflow" in refused_at_once.call(*arguments)


def test_json_options_without_json_output(refused_at_once: Refusals) -> None:
    assert "--xcom adds to the JSON output: use it with --output json" in refused_at_once.run("good.py", "--xcom")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(commands: CommandLine, command: str) -> None:
    ended = commands.call(command, "--help")
    assert ended.exit_code == 0
    assert f"Usage: temporal-airflow {command}" in ended.stdout


def test_the_program_explains_itself(commands: CommandLine) -> None:
    with commands.start("--help") as command:
        ended = command.ended()
    assert ended.exit_code == 0
    assert all(name in ended.stdout for name in COMMANDS)
    assert "Exit codes: 0 success, 1 the run failed, 2 wrong usage or input, 3 no server, 130" in ended.stdout


# What this version can't run

DAG_WITH = """
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, Asset, AsyncCallback, DeadlineAlert, DeadlineReference, task

def t(): ...

with DAG({dag}):
    {task}
"""
DEADLINE = "DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(1), callback=AsyncCallback('a.b'))"
INSTALLATION = {
    "airflow_local_settings.py": "def task_instance_mutation_hook(ti):\n    pass\n",
    "plugins/listening.py": """
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

class Listener:
    @hookimpl
    def on_dag_run_success(self, dag_run, msg):
        pass

class Listening(AirflowPlugin):
    name = "listening"
    listeners = [Listener()]
""",
}

# What uses a feature, by the feature's first words; one that isn't here uses INSTALLATION.
TASKS = {
    "operators that start in the triggerer": [
        "DateTimeSensorAsync(task_id='t', target_time='2026-01-01T00:00:00+00:00', start_from_trigger=True)",
    ],
    "human-in-the-loop operators": ["ApprovalOperator(task_id='t', subject='Go?')"],
    "operators that start or watch other DAGs": [
        "TriggerDagRunOperator(task_id='t', trigger_dag_id='other')",
        "ExternalTaskSensor(task_id='t', external_dag_id='other')",
        "TriggerDagRunOperator.partial(task_id='t').expand(trigger_dag_id=['other'])",
    ],
    "pools other than default_pool": [
        "EmptyOperator(task_id='t', pool='small')",
        "EmptyOperator.partial(task_id='t', pool='small').expand(doc=['a'])",
    ],
    "max_active_tis_per_dag": ["EmptyOperator(task_id='t', max_active_tis_per_dag=1)"],
    "depends_on_past": [
        "EmptyOperator(task_id='t', depends_on_past=True)",
        "EmptyOperator(task_id='t', wait_for_downstream=True)",
    ],
    "asset inlets": ["EmptyOperator(task_id='t', inlets=[Asset('a')])"],
    "run_as_user": ["EmptyOperator(task_id='t', run_as_user='somebody')"],
    "a task's own executor": ["EmptyOperator(task_id='t', executor='LocalExecutor')"],
    "tasks in another language": ["task.stub(t)()"],
}
DAGS = {
    "deadline alerts": f"'d', deadline={DEADLINE}",
    "max_consecutive_failed_dag_runs": "'d', max_consecutive_failed_dag_runs=1",
}


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAGs folder of an installation that uses what can be refused only as a whole."""
    folder = tmp_path_factory.mktemp("installation")
    for name, source in INSTALLATION.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_template(own_folder: Path, commands: CommandLine) -> AsyncIterator[ProcessTemplate]:
    environment = commands.environment | bundle_environment(own_folder)
    environment |= {"PYTHONPATH": str(own_folder), "AIRFLOW__CORE__PLUGINS_FOLDER": str(own_folder / "plugins")}
    async with ProcessTemplate.start(environment) as template:
        yield template


def uses(feature: str, table: dict[str, list[str]] | dict[str, str]) -> list[str]:
    return [key for key in table if feature.startswith(key)]


def sources(refusal: Refusal) -> list[str]:
    """DAG files that use what is refused, one each."""
    if refusal.of_task:
        [key] = uses(refusal.feature, TASKS)
        return [DAG_WITH.format(dag="'d'", task=each) for each in TASKS[key]]
    if refusal.of_dag:
        [key] = uses(refusal.feature, DAGS)
        return [DAG_WITH.format(dag=DAGS[key], task="pass")]
    return [DAG_WITH.format(dag="'d'", task="pass")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.feature.partition(" (")[0])
async def test_a_feature_that_this_version_can_not_run(
    own_template: ProcessTemplate, own_folder: Path, refusal: Refusal
) -> None:
    file = own_folder / "refused.py"
    user = "This Airflow installation" if refusal.of_installation else "DAG 'd'"
    task = ", task 't'" if refusal.of_task else ""
    for source in sources(refusal):
        file.write_text(source)
        with pytest.raises(UnsupportedFeatureError) as refused:
            await load_dag(own_template, LoadDagInput(path=str(file), now=now()))
        assert f"{user}{task} uses {refusal.feature}: {refusal.remedy}." in str(refused.value).splitlines(), source


def test_what_is_refused_names_dag_task_feature_and_remedy(refused: Refusals, dags: Path) -> None:
    (dags / "pool.py").write_text(DAG_WITH.format(dag="'d'", task=TASKS["pools other than default_pool"][0]))
    said = refused.run("pool.py")
    assert "DAG 'd', task 't' uses pools other than default_pool: remove pool=..., or limit the run with" in said
