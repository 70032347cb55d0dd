"""Our runs against the records of stock Airflow: a part of the corpus that takes little time and covers every topic.

``python -m tests.parity.compare`` compares all of it. Both take ``--isolation reuse``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from temporal_airflow.connection import Connection

from .comparison import differences
from .corpus import EXCLUDED, read_index
from .ends import Ends
from .orders import chances
from .ours import Ours, open_ours
from .outcome import Outcome, normalised, normaliser
from .package import contents, sources

REPRESENTATIVE = (
    "asks_for_approval",
    "asks_in_vain",
    "asks_people",
    "branches_before_mapped",
    "branches_by_operators",
    "calls_back",
    "deletes_xcoms",
    "emits_asset_events",
    "example_dynamic_task_mapping",
    "example_setup_teardown_taskflow",
    "example_short_circuit_operator",
    "example_trigger_controller_dag",
    "is_in_second_bundle",
    "is_listened_to",
    "is_packaged",
    "keeps_task_state",
    "looks_into_backends",
    "looks_into_lazy_sequences",
    "maps_groups_with_failures",
    "maps_over_xcoms",
    "maps_with_partial_failures",
    "obeys_policies",
    "orders_by_weight_upstream",
    "orders_in_a_pool",
    "passes_xcoms",
    "processes_end",
    "pulls_in_every_form",
    "pushes_arrays_and_frames",
    "reads_what_outlives_runs",
    "renders",
    "renders_in_its_own_environment",
    "retries",
    "runs_out_of_memory",
    "sensors_return_values",
    "starts_in_triggers",
    "stores_xcoms_as_objects",
    "stores_xcoms_in_files",
    "takes_params",
    "teardown_in_mapped_group",
    "trigger_rules_all",
    "trigger_rules_none",
    "trigger_rules_one",
    "triggers_others",
    "uses_plugins",
)

ORDERS_BY_CHANCE = 5
FIRST_OR_LAST = 10
"""Task instances; ``compare --orders`` plays more orders, and all DAGs."""

Run = tuple[dict[str, Any], Ends]
Runs = dict[str, asyncio.Task[Run]]


@pytest_asyncio.fixture(scope="session")
async def runs(
    connection: Connection, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Runs]:
    """The runs of all tests that were selected, side by side: waiting for retries and sensors costs nothing."""
    home = tmp_path_factory.mktemp("parity")
    selected = {item.callspec.params["dag_id"] for item in _users_of_runs(request.session)}
    isolation = request.config.getoption("--isolation")
    async with open_ours(connection.client, home, home / "scratch", isolation) as ours:
        started = {dag_id: asyncio.create_task(_run(ours, dag_id, home)) for dag_id in sorted(selected)}
        yield started
        for run in started.values():
            run.cancel()


def _users_of_runs(session: pytest.Session) -> list[Any]:
    """The tests of this module that will be run; their parameters are no part of pytest's types."""
    return [item for item in session.items if "runs" in getattr(item, "fixturenames", ())]


async def _run(ours: Ours, dag_id: str, home: Path) -> Run:
    dag = read_index()[dag_id]
    outcome: Outcome = await ours.run(await ours.load(dag.dag_id, dag.path))
    return normalised(outcome, normaliser(home, home / "scratch")), ours.ends[dag_id]


@pytest.mark.parametrize("dag_id", REPRESENTATIVE)
async def test_a_run_is_what_airflow_makes_of_it(dag_id: str, runs: Runs) -> None:
    recorded = read_index()[dag_id].record()
    assert recorded is not None, f"no record: uv run python -m tests.parity.record {dag_id}"
    outcome, _ = await runs[dag_id]
    assert differences(recorded, outcome) == []


@pytest.mark.parametrize("dag_id", REPRESENTATIVE)
async def test_a_run_is_the_same_in_whatever_order_its_attempts_end(dag_id: str, runs: Runs) -> None:
    _, ends = await runs[dag_id]
    assert chances(ends, ORDERS_BY_CHANCE, FIRST_OR_LAST) == {}


@pytest.mark.parametrize("dag_id", EXCLUDED)
def test_what_is_left_out_fails_under_airflow_itself(dag_id: str) -> None:
    recorded = read_index()[dag_id].record()
    assert recorded is not None, f"no record: uv run python -m tests.parity.record {dag_id}"
    assert recorded["state"] == "failed"
    assert recorded["errors"].keys() == {task for task, ti in recorded["tasks"].items() if ti["state"] == "failed"}


def test_the_packaged_dag_is_that_of_its_sources() -> None:
    assert contents() == sources(), "uv run python -m tests.parity.package"
