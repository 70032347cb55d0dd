"""A secret planted in each channel that a run has is found nowhere: not in one byte that a run leaves or shows.

Which values are secret is what Airflow's own masker makes so: passwords and extras of connections, variables whose
names say so, what a task masks by hand; and values that Airflow never shows, in arguments of tasks and triggers.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    QueryWorkflowRequest,
)
from temporalio.client import Client

import byte_scan
from command_line import CommandLine, environment_of
from temporal_airflow.dev_server import lease
from temporal_airflow.settings import Settings
from waiting import eventually

DAG_FILE = Path(__file__).parent.parent / "dags" / "planted" / "planted.py"
RUN = "plants_secrets/planted"
WORKFLOW = "dag-plants_secrets-planted"
VISIBLE = "VISIBLE"
"""A channel that nobody hides, to see that the scan looks everywhere."""

CHANNELS = (
    "CONNECTION", "EXTRA", "VARIABLE", "BACKEND", "OF_TRIGGER", "BY_HAND", "DEFAULT_ARGS", "PARAM", "DOC",
    "TRIGGER_KWARGS", "NEXT_KWARGS", "ARGUMENT", "PARTIAL", "EXPANDED",
)  # fmt: skip
PATIENCE = 180.0
"""Seconds that the tasks may take: there are twenty, on a machine that may have other work."""

SHOWN_LOGS = (
    "connection", "variable", "secrets_backend", "by_hand", "killed", "rendered", "visible", "visible_failure",
)  # fmt: skip
"""Tasks whose logs are asked for by command; the files of all are scanned besides."""

QUERIES = ("state", "xcom", "__stack_trace", "__enhanced_stack_trace", "__temporal_workflow_metadata")


@dataclass
class Trace:
    """Everything that a run left and showed.

    Attributes:
        secrets: planted values, by channel.
        places: bytes by where they are; scanned through every wrapping.
        masses: bytes by where they are; too many for more than a quick scan.
    """

    secrets: dict[str, str]
    visible: str
    states: dict[str, str] = field(default_factory=dict)
    places: dict[str, bytes] = field(default_factory=dict)
    masses: list[tuple[str, bytes]] = field(default_factory=list)

    def where(self, value: str) -> set[str]:
        """Where a value is."""
        found = {place for place, data in self.places.items() if byte_scan.contains(data, value)}
        return found | {place for place, data in self.masses if byte_scan.contains_encoded(data, value)}


def _planted() -> str:
    return uuid.uuid4().hex


@pytest_asyncio.fixture(scope="module")
async def trace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trace]:
    """What is left of one run, of the commands that read it, and of a DAG file that can't be imported."""
    home = tmp_path_factory.mktemp("planted")
    trace = Trace({channel: _planted() for channel in CHANNELS}, _planted())
    environment = environment_of(home) | _environment(trace, tmp_path_factory.mktemp("elsewhere"))
    async with lease(Settings(data_folder=home / "data"), report=lambda _: None) as server:
        client = await Client.connect(server.address, namespace=server.namespace)
        commands = CommandLine(environment, home)
        try:
            await _leave_trace(trace, commands, client, home / "gate")
        finally:
            commands.close()
        trace.masses += [
            (f"row of {table}", value)
            for database in sorted((home / "data").glob("*.db"))
            for table, value in byte_scan.rows(database)
        ]
        trace.masses += list(byte_scan.files([home]))
    yield trace


def _environment(trace: Trace, folder: Path) -> dict[str, str]:
    secrets = trace.secrets
    backend = folder / "connections.json"
    backend.write_text(json.dumps({"planted_of_backend": {"conn_type": "http", "password": secrets["BACKEND"]}}))
    fernet_key = Fernet.generate_key().decode()
    secrets["FERNET_KEY"] = fernet_key
    return {
        **{f"PLANTED_{channel}": value for channel, value in {**secrets, VISIBLE: trace.visible}.items()},
        "AIRFLOW_CONN_PLANTED": json.dumps(
            {"conn_type": "http", "password": secrets["CONNECTION"], "extra": {"api_key": secrets["EXTRA"]}}
        ),
        "AIRFLOW_CONN_PLANTED_OF_TRIGGER": f"generic://user:{secrets['OF_TRIGGER']}@host",
        "AIRFLOW_VAR_PLANTED_TOKEN": secrets["VARIABLE"],
        "AIRFLOW__CORE__FERNET_KEY": fernet_key,
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"connections_file_path": str(backend)}),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(DAG_FILE.parent), os.environ.get("PYTHONPATH")))),
    }


async def _leave_trace(trace: Trace, commands: CommandLine, client: Client, gate: Path) -> None:
    conf = json.dumps({"gate": str(gate)})
    run = ("run", DAG_FILE, "--run-id", "planted", "--conf", conf, "--output", "json", "--xcom")
    with commands.start(*run) as running:
        eventually("only the task that waits is left", lambda: _open_tasks(commands) == {"waits"}, PATIENCE)
        trace.places |= {f"query {name}": data async for name, data in _answers(client)}
        gate.touch()
        ended = running.ended()
    trace.places |= {"run's output": ended.stdout.encode(), "run's messages": ended.stderr.encode()}
    status = commands.call("status", RUN, "--output", "json").json
    trace.states = {ti["task_id"]: ti["state"] for ti in status["task_instances"]}
    trace.places |= dict(_shown(commands))
    trace.places |= {name: data async for name, data in _histories(client)}


def _open_tasks(commands: CommandLine) -> set[str]:
    status = commands.call("status", RUN, "--output", "json")
    if status.exit_code:
        return set()  # not yet known
    return {ti["task_id"] for ti in status.json["task_instances"] if ti["state"] not in ("success", "failed")}


async def _answers(client: Client) -> AsyncIterator[tuple[str, bytes]]:
    for query in QUERIES:
        request = QueryWorkflowRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=WORKFLOW),
            query=WorkflowQuery(query_type=query),
        )
        if query == "xcom":
            [argument] = await client.data_converter.encode([[{"request": {}, "offset": 0}]])
            request.query.query_args.payloads.append(argument)
        answer = await client.workflow_service.query_workflow(request)
        yield query, b"\n".join(payload.data for payload in answer.query_result.payloads)


def _shown(commands: CommandLine) -> Iterator[tuple[str, bytes]]:
    """What the commands show, and what they say of a file that can't be imported."""
    for arguments in (
        ("status", RUN), ("status", RUN, "--output", "json"), ("list",), ("list", "--output", "json"),
        ("xcom", RUN, "visible"), ("xcom", RUN, "takes"), *(("logs", RUN, task) for task in SHOWN_LOGS),
        ("run", str(DAG_FILE.with_name("planted_import_error.py"))),
    ):  # fmt: skip
        shown = commands.call(*arguments)
        yield " ".join(arguments), f"{shown.stdout}\n{shown.stderr}".encode()


async def _histories(client: Client) -> AsyncIterator[tuple[str, bytes]]:
    """Raw messages of the server: every payload, memo, search attribute, summary and failure is in them."""
    listed = await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace)
    )
    yield "list of workflows", listed.SerializeToString()
    for info in listed.executions:
        described = await client.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=info.execution)
        )
        yield f"description of {info.execution.workflow_id}", described.SerializeToString()
        history = await client.workflow_service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(namespace=client.namespace, execution=info.execution)
        )
        assert not history.next_page_token
        yield f"history of {info.execution.workflow_id}", history.SerializeToString()


def test_every_channel_was_used(trace: Trace) -> None:
    failed = {"connection": "success", "variable": "failed", "secrets_backend": "failed", "by_hand": "failed"}
    failed |= {"killed": "failed", "defers_and_fails": "failed", "visible_failure": "failed"}
    succeeded = ("names_itself", "rendered", "defers", "takes", "takes_partially", "visible", "waits")
    assert trace.states == failed | dict.fromkeys(succeeded, "success")
    masked = {place for place in trace.places if b"***" in trace.places[place]}
    assert masked >= {f"logs {RUN} {task}" for task in SHOWN_LOGS if "visible" not in task} | {
        f"status {RUN}",
        f"history of {WORKFLOW}",
    }
    trigger_log = next(data for place, data in trace.masses if "task_id=defers/" in place and ".trigger." in place)
    assert trigger_log.count(b"***") >= 2


def test_a_value_that_is_no_secret_is_found(trace: Trace) -> None:
    places = trace.where(trace.visible)
    assert places >= {
        f"logs {RUN} visible", f"logs {RUN} visible_failure", f"status {RUN}", f"xcom {RUN} visible",
        f"history of {WORKFLOW}", "query state", "query xcom", "run's output",
    }  # fmt: skip
    assert {place.removeprefix("row of ") for place in places if place.startswith("row of")} & {"history_node"}
    assert [place for place in places if place.endswith((".db", ".db-wal"))]
    assert f"history of {WORKFLOW}" in trace.where("takes_partially"), "the compressed DAG is looked into"


@pytest.mark.parametrize("channel", [*CHANNELS, "FERNET_KEY"])
def test_a_planted_secret_is_nowhere(channel: str, trace: Trace) -> None:
    assert trace.where(trace.secrets[channel]) == set()
