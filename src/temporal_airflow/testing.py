"""A pytest plugin for users' own tests: run a DAG as it would run in production, on a real Temporal server.

    def test_my_dag(run_airflow_dag):
        result = run_airflow_dag("dags/my_dag.py", conf={"day": "2026-01-31"})
        assert result.state == "success"
        assert result.xcom("report") == 42

The server is private, leaves nothing behind, and is shared by the whole test session, as are the processes that import
Airflow. Importing this module imports neither pytest's other plugins nor Airflow: pytest does it in every project.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from temporal_airflow.sdk_warnings import LATE_CANCELLATION

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from temporal_airflow.api import DagRunResult
    from temporal_airflow.in_place import InPlace
    from temporal_airflow.scripted_answers import Answers

RunAirflowDag = Callable[..., "DagRunResult"]


def pytest_configure(config: pytest.Config) -> None:
    """Let workers in this process live where a project's settings make errors of warnings."""
    config.addinivalue_line("filterwarnings", f"ignore:{LATE_CANCELLATION}:UserWarning")


class DagRunner:
    """Runs DAGs one after the other; what a DAGs folder needs is brought up once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="temporal-airflow", daemon=True)
        self._stack = AsyncExitStack()
        self._places: dict[Path, InPlace] = {}
        self._thread.start()

    def run(
        self,
        dag_or_path: DAG | str | Path,
        *,
        conf: dict[str, Any] | None = None,
        logical_date: datetime | None = None,
        run_id: str | None = None,
        dag_id: str | None = None,
        answers: Answers | None = None,
    ) -> DagRunResult:
        """Run a DAG to its end; arguments as of :func:`temporal_airflow.run_dag`."""
        result: DagRunResult = self._await(
            self._run(dag_or_path, conf or {}, logical_date, run_id, dag_id, answers=answers or {})
        )
        return result

    def close(self) -> None:
        """Stop everything."""
        self._await(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    async def _run(
        self,
        dag_or_path: DAG | str | Path,
        conf: dict[str, Any],
        logical_date: datetime | None,
        run_id: str | None,
        dag_id: str | None,
        *,
        answers: Answers,
    ) -> DagRunResult:
        from temporal_airflow.api import locate, run_to_end
        from temporal_airflow.client import now
        from temporal_airflow.dag_loader import load_dag
        from temporal_airflow.models import LoadDagInput

        path, dag_id = locate(dag_or_path, dag_id)
        request = LoadDagInput(
            path=str(path), dag_id=dag_id, run_id=run_id, logical_date=logical_date, conf=conf, now=now()
        )
        place = await self._place(path)
        return await run_to_end(place, await load_dag(place.template, request), answers)

    async def _place(self, path: Path) -> InPlace:
        from temporal_airflow.in_place import dags_folder_of, open_in_place, task_processes
        from temporal_airflow.settings import load_settings

        folder = dags_folder_of(path)
        if folder not in self._places:
            template = await self._stack.enter_async_context(task_processes(folder))
            opening = open_in_place(template, folder, load_settings(), ephemeral=True, report=lambda _: None)
            self._places[folder] = await self._stack.enter_async_context(opening)
        return self._places[folder]


@pytest.fixture(scope="session")
def _dag_runner() -> Iterator[DagRunner]:
    from temporal_airflow.engine.airflow_library import use_as_library

    use_as_library()
    runner = DagRunner()
    yield runner
    runner.close()


@pytest.fixture
def run_airflow_dag(_dag_runner: DagRunner) -> RunAirflowDag:
    """Run a DAG to its end on a real server: ``run_airflow_dag(dag_or_path, conf=..., logical_date=...)``."""
    return _dag_runner.run
