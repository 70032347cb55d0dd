"""Finds the Temporal server and connects to it: the one that is configured, else one of our own.

It must not know runs, workers or the command line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import dev_server
from temporal_airflow.data_converter import DATA_CONVERTER
from temporal_airflow.exceptions import ServerError, SettingsError
from temporal_airflow.settings import Settings

RECONNECT_INTERVAL = 0.2
"""Seconds between two tries to reach a server that doesn't answer."""

OTHER_PROTOCOL = ("tls", "certificate", "handshake", "invaliddata", "frame with invalid size", "h2 protocol")
"""Signs, in what the SDK raises, of a server that answers but speaks otherwise."""


@dataclass(frozen=True)
class Connection:
    """A connected client and where people can look.

    Attributes:
        ui_url: of Temporal's UI; None if it isn't known.
        embedded: whether the server is one of our own.
    """

    client: Client
    address: str
    namespace: str
    ui_url: str | None
    embedded: bool

    def workflow_url(self, workflow_id: str) -> str | None:
        """A run's page in Temporal's UI."""
        return f"{self.ui_url}/namespaces/{self.namespace}/workflows/{workflow_id}" if self.ui_url else None


@asynccontextmanager
async def connect(
    settings: Settings, *, ephemeral: bool = False, report: Callable[[str], None]
) -> AsyncIterator[Connection]:
    """Connect to the server for as long as the block runs.

    Args:
        settings: the address in them comes first, then ``TEMPORAL_*`` and its profile.
        ephemeral: start a private server that leaves nothing behind, whatever is configured.
        report: told what takes time.

    Raises:
        ServerError: if no server answers or can be started.
    """
    configured = _configured(settings)
    address = configured.get("target_host")
    if address and not ephemeral:
        namespace = configured.get("namespace") or "default"
        client = await _connect(configured, settings)
        yield Connection(client, address, namespace, ui_url=None, embedded=False)
        return
    async with dev_server.lease(settings, ephemeral=ephemeral, report=report) as server:
        local = ClientConnectConfig(target_host=server.address, namespace=server.namespace)
        client = await _connect(local, settings)
        yield Connection(client, server.address, server.namespace, ui_url=server.ui_url, embedded=True)


def configured_address(settings: Settings) -> str | None:
    """The address of the server that is configured; None means one of our own."""
    return _configured(settings).get("target_host")


def _configured(settings: Settings) -> ClientConnectConfig:
    try:
        config = ClientConfigProfile.load().to_client_connect_config()
    except RuntimeError as error:
        raise SettingsError(f"Temporal's client configuration (TEMPORAL_*, profile) can't be read: {error}") from error
    if settings.address:
        config["target_host"] = settings.address
    if settings.namespace:
        config["namespace"] = settings.namespace
    return config


async def _connect(config: ClientConnectConfig, settings: Settings) -> Client:
    address, namespace = config["target_host"], config.get("namespace") or "default"
    problems: list[str] = []
    try:
        async with asyncio.timeout(settings.connect_timeout):
            client = await _await_server(config, problems)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except TimeoutError as error:
        raise ServerError(
            f"No Temporal server answers at {address} (tried for {settings.connect_timeout:g} s"
            f"{''.join(f': {problem}' for problem in problems[-1:])}). "
            "Start it, or correct [temporal] address / TEMPORAL_ADDRESS; unset it to use a server of our own. "
            "If it serves TLS only, set TEMPORAL_TLS=true."
        ) from error
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise ServerError(
                f"The Temporal server at {address} has no namespace {namespace!r}. Create it with "
                f"`temporal operator namespace create {namespace}`, or set [temporal] namespace / TEMPORAL_NAMESPACE."
            ) from error
        raise ServerError(f"The Temporal server at {address} refused the connection: {error.message}") from error
    except RuntimeError as error:
        used = "uses TLS" if config.get("tls") else "doesn't use TLS"
        raise ServerError(
            f"The connection to {address} {used}, and the server expects otherwise or has another certificate: "
            f"{_reason(error)}. Set TEMPORAL_TLS and the certificate paths (TEMPORAL_TLS_*), or TEMPORAL_API_KEY."
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"The Temporal server's address {address!r} can't be used: {error}. Write it as host:port in [temporal] "
            "address / TEMPORAL_ADDRESS."
        ) from error
    return client


async def _await_server(config: ClientConnectConfig, problems: list[str]) -> Client:
    """Connect as soon as the server answers.

    Raises:
        RuntimeError: if it answers, but not in our protocol: waiting doesn't help.
    """
    target: dict[str, Any] = {**config, "data_converter": DATA_CONVERTER}
    while True:
        try:
            return await Client.connect(**target)
        except RuntimeError as error:
            if any(sign in str(error).lower() for sign in OTHER_PROTOCOL):
                raise
            problems.append(_reason(error))
        await asyncio.sleep(RECONNECT_INTERVAL)


def _reason(error: RuntimeError) -> str:
    """What the operating system or the TLS library says, out of the SDK's nested debug output."""
    said = re.findall(r'(?:message|error): "([^"]+)"', str(error))
    return said[-1] if said else str(error)
