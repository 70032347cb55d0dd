"""A server that isn't there, isn't what is configured, or has no worker."""

from __future__ import annotations

import socket

import pytest
from temporalio.client import Client

from refused_commands import NO_SERVER, Refusals


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
