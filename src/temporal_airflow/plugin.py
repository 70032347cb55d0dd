"""The same worker as a Temporal plugin: DAG runs beside a team's own workflows, in their own worker.

    client = await Client.connect("localhost:7233", plugins=[TemporalAirflowPlugin(dags_folder="dags")])
    worker = Worker(client, task_queue="airflow-tasks", workflows=[...], activities=[...])

It must not do anything that ``worker`` doesn't do.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client, ClientConfig
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter, DefaultPayloadConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import ReplayerConfig, Worker, WorkerConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from temporal_airflow.capacity.pool_worker import build_pool_worker
from temporal_airflow.capacity.slot_post import SlotPost
from temporal_airflow.data_converter import DATA_CONVERTER, WirePayloadConverter
from temporal_airflow.engine.airflow_library import use_as_library
from temporal_airflow.exceptions import InputError, SettingsError
from temporal_airflow.settings import Settings, load_settings
from temporal_airflow.tasks.activity import TaskActivities
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.worker import build_trigger_worker, workflow_classes, workflow_tasks
from temporal_airflow.worker_patience import let_think
from temporal_airflow.workflows.keep_pool import KeepAirflowPoolWorkflow

NAME = "temporal_airflow.TemporalAirflowPlugin"


class TemporalAirflowPlugin(SimplePlugin):
    """Adds DAG runs to a client and to every worker made from it."""

    def __init__(self, dags_folder: str | Path | None = None, settings: Settings | None = None) -> None:
        """Prepare; nothing starts before a worker runs.

        Args:
            dags_folder: root of the DAG files; None leaves it to Airflow's configuration.
            settings: read from Airflow's configuration if not given.

        Raises:
            InputError: if the folder doesn't exist.
        """
        if dags_folder is not None and not Path(dags_folder).is_dir():
            raise InputError(f"The DAGs folder {dags_folder} doesn't exist or is not a folder.")
        use_as_library()
        super().__init__(NAME)
        self._dags_folder = Path(dags_folder) if dags_folder is not None else None
        self._settings = settings or load_settings()
        self._activities: dict[str, TaskActivities] = {}
        self._posts: dict[str, SlotPost] = {}

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """Give the client the payload converter of our wire models; its payload codec stays."""
        config = super().configure_client(config)
        config["data_converter"] = _with_wire_models(config.get("data_converter"))
        return config

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Add workflows and activities, and the settings that they need."""
        config = super().configure_worker(config)
        activities = TaskActivities(config["client"], self._settings.large_xcom_path)
        self._activities[config["task_queue"]] = activities
        config["workflows"] = [*config.get("workflows", ()), *workflow_classes()]
        config["activities"] = [*config.get("activities", ()), *activities.functions]
        self._posts[config["task_queue"]] = post = SlotPost(config["client"])
        config["interceptors"] = [*config.get("interceptors", ()), post]
        if config.get("max_concurrent_workflow_tasks") is None:
            config["max_concurrent_workflow_tasks"] = workflow_tasks(config.get("max_cached_workflows"))
        if config.get("max_concurrent_activities") is None:
            config["max_concurrent_activities"] = self._settings.concurrency
        runner = config.get("workflow_runner")
        if isinstance(runner, SandboxedWorkflowRunner):
            config["workflow_runner"] = _sharing_airflow(runner)
        beat = timedelta(seconds=self._settings.heartbeat_interval)
        config["max_heartbeat_throttle_interval"] = config["default_heartbeat_throttle_interval"] = beat
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:  # noqa: A002
        """Keep the processes that run user code for as long as the worker runs."""
        environment = dict(os.environ)
        if self._dags_folder is not None:
            environment |= bundle_environment(self._dags_folder)
        self._settings.make_data_folder()
        async with ProcessTemplate.start(environment) as template:
            await template.ready()
            activities = self._activities[worker.task_queue]
            config = worker.client.config()
            config["plugins"] = []  # else this one would also configure the worker of triggers
            without_plugins = Client(**config)
            async with (
                self._posts[worker.task_queue].open(),
                activities.on(template, self._settings.concurrency, self._settings.waiting_slots),
                build_trigger_worker(without_plugins, self._settings, activities, worker.task_queue),
                await build_pool_worker(without_plugins, self._settings.max_cached_workflows),
            ):
                await super().run_worker(let_think(worker), next)

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """Let a replayer read and replay DAG runs."""
        config = super().configure_replayer(config)
        config["data_converter"] = _with_wire_models(config.get("data_converter"))
        config["workflows"] = [*config.get("workflows", ()), *workflow_classes(), KeepAirflowPoolWorkflow]
        return config


def _sharing_airflow(runner: SandboxedWorkflowRunner) -> SandboxedWorkflowRunner:
    """The team's sandbox, which doesn't import Airflow anew for a workflow that merely shares a module with us."""
    restrictions = runner.restrictions.with_passthrough_modules("airflow", "temporal_airflow")
    return dataclasses.replace(runner, restrictions=restrictions)


def _with_wire_models(converter: DataConverter | None) -> DataConverter:
    """The converter with our payload converter, keeping its codec.

    Raises:
        SettingsError: if it has a payload converter of its own.
    """
    if converter is None:
        return DATA_CONVERTER
    if converter.payload_converter_class not in (
        DefaultPayloadConverter,
        PydanticPayloadConverter,
        WirePayloadConverter,
    ):
        raise SettingsError(
            f"The client's payload converter {converter.payload_converter_class.__name__} can't be combined with "
            "TemporalAirflowPlugin, whose wire models need Pydantic's. Use a client of its own for DAG runs."
        )
    return dataclasses.replace(converter, payload_converter_class=WirePayloadConverter)
