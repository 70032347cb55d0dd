"""Settings of the product: frozen, read once at the edge (command line, worker, Python API) and handed down.

Ours live in the section ``[temporal]`` of airflow.cfg, or in ``AIRFLOW__TEMPORAL__NAME``; Airflow's own configuration
reads them. The connection itself comes
from ``temporalio.envconfig`` (``TEMPORAL_*`` variables, TOML profiles). Nothing in a workflow may import this module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from temporal_airflow.exceptions import SettingsError
from temporal_airflow.identifiers import DEFAULT_TASK_QUEUE

SECTION = "temporal"
APPLICATION = "temporal-airflow"
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseModel):
    """Every setting with its default; field descriptions are the reference documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None,
        description="host:port of a Temporal server. Unset: the TEMPORAL_ADDRESS variable or profile; else a server of "
        "our own is started.",
    )
    namespace: str | None = Field(
        None, description="Temporal namespace. Unset: TEMPORAL_NAMESPACE or profile, else `default`."
    )
    connect_timeout: PositiveFloat = Field(10.0, description="Seconds to wait for a Temporal server to answer.")
    task_queue: str = Field(DEFAULT_TASK_QUEUE, description="Task queue of `worker` and `trigger`.")
    concurrency: PositiveInt = Field(16, description="Most tasks that run at once in one worker.")
    isolation: Literal["fork", "reuse"] = Field(
        "fork",
        description="`fork`: each task has a process of its own, as in Airflow. `reuse`: a process runs one task after "
        "the other, several times faster; Linux only.",
    )
    preparsed_bundles: str | None = Field(
        None,
        description="Names of DAG bundles, separated by commas, whose files are parsed once for many tasks instead of "
        "for each of them. Their top-level code must not depend on which task it is parsed for, or when; Linux only.",
    )
    waiting_slots: NonNegativeInt = Field(
        2,
        description="Task processes that wait for tasks, made before they are needed. Others are made when they are "
        "needed, up to `concurrency`, and given up after a minute without work.",
    )
    processes: PositiveInt = Field(
        1, description="Processes of one `worker` command; they share its `concurrency`. More of them use more cores."
    )
    drain_timeout: NonNegativeFloat = Field(
        300.0, description="Seconds that a stopping worker waits for its running tasks before it stops them."
    )
    heartbeat_timeout: PositiveFloat = Field(
        60.0, description="Seconds without contact after which a running attempt counts as lost and is run again."
    )
    heartbeat_interval: PositiveFloat = Field(
        1.0,
        description="Seconds between two signs of life of a running task to the server; a cancellation comes on the "
        "answer. Each costs the server about as much as a short task, and Temporal Cloud counts it as an action.",
    )
    max_lost_attempts: PositiveInt = Field(
        3, description="Attempts at one try that may be lost to infrastructure before the try counts as failed."
    )
    task_queued_timeout: PositiveFloat | None = Field(
        None,
        description="Seconds that a task may wait for a worker; then it waits anew, `[scheduler] "
        "num_stuck_in_queued_retries` times, and then fails. Unset: without limit.",
    )
    parallelism: PositiveInt | None = Field(
        None,
        description="Most tasks that run at once in all runs of the namespace. Unset: as many as the workers take.",
    )
    task_queues: str | None = Field(
        None,
        description="Task queues of Airflow queues, where the usual name won't do: `gpu=machines-with-gpu, etl=etl`.",
    )
    check_steps: bool = Field(
        False,
        description="Hold each step of new runs against a full pass of Airflow's scheduler, and stop at a difference; "
        "slow, for the search of a mistake.",
    )
    max_cached_workflows: NonNegativeInt = Field(
        500, description="Runs that a worker keeps in memory; 0 replays a run at each of its steps (for tests)."
    )
    xcom_objectstorage_path: str | None = Field(
        None,
        description="Airflow object storage path for XComs too large to travel. Unset: a folder in the data folder.",
    )
    data_folder: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir(APPLICATION)),
        description="Folder of our own server's database and of large XComs.",
    )
    cache_folder: Path = Field(
        default_factory=lambda: Path(platformdirs.user_cache_dir(APPLICATION)),
        description="Folder of the downloaded or built `temporal` command.",
    )
    server_port: Port = Field(0, description="Port of our own server; 0 takes a free one.")
    ui_port: Port = Field(0, description="Port of our own server's UI; 0 takes a free one.")

    @field_validator("isolation")
    @classmethod
    def _can_reuse(cls, isolation: str) -> str:
        if isolation == "reuse" and sys.platform != "linux":
            raise ValueError("reused processes need Linux")
        return isolation

    @field_validator("task_queues")
    @classmethod
    def _can_route(cls, task_queues: str | None) -> str | None:
        if task_queues is not None and not all(_pairs(task_queues)):
            raise ValueError("write airflow_queue=task_queue, separated by commas")
        return task_queues

    @property
    def queue_map(self) -> dict[str, str]:
        """Task queues by Airflow queue, where they aren't the usual ones."""
        return dict(pair for pair in _pairs(self.task_queues or "") if pair)

    def make_data_folder(self) -> None:
        """Make the data folder, readable by its owner only: runs and their values are in it.

        Raises:
            SettingsError: if it can't be made.
        """
        try:
            self.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"The data folder {self.data_folder} can't be made: {error.strerror}. Set [{SECTION}] data_folder."
            ) from error

    @property
    def large_xcom_path(self) -> str:
        """Object storage path of XComs over the inline limit."""
        return self.xcom_objectstorage_path or f"file://{self.data_folder / 'xcom'}"


def _pairs(text: str) -> Iterator[tuple[str, str] | None]:
    """The pairs of ``a=b, c=d``; None for what isn't one."""
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        yield (name, value) if name and equals and value else None


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from Airflow's configuration.

    Args:
        overrides: values given on the command line; None means not given.

    Raises:
        SettingsError: if a value can't be used, naming the setting and how to set it.
    """
    from airflow.configuration import conf

    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        configured = conf.get(SECTION, name, fallback=None)
        if configured not in (None, ""):
            values[name] = configured
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        raise SettingsError(
            f"Setting [{SECTION}] {name} = {problem['input']!r} can't be used: {problem['msg']}. "
            f"Set it in airflow.cfg or in AIRFLOW__{SECTION.upper()}__{name.upper()}."
        ) from error
