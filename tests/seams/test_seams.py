"""The places where Airflow is redirected: each is still there, does what it is for, and nothing else."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType

import pytest

from temporal_airflow.engine import seams
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.engine.time_provider import (
    IdSequence,
    clear_workflow_time,
    engine_scope,
    get_current_time,
    set_workflow_time,
)
from temporal_airflow.exceptions import VersionMismatchError
from temporal_airflow.models import TriggeredRun

import_scheduling_code()
ADOPTING = seams.adopting(TriggeredRun(dag_id="other", run_id="first"))
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
AIRFLOW = Path(importlib.util.find_spec("airflow").origin or "").parent  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "seam",
    [*seams.ENGINE_SEAMS, *seams.TASK_SEAMS, ADOPTING, seams.parsing_by(print)],
    ids=lambda seam: f"{seam.module}.{seam.attribute}",
)
def test_every_target_exists(seam: seams.Seam) -> None:
    if seam.attribute in {"Session", "NonScopedSession"}:
        assert hasattr(importlib.import_module(seam.module), seam.attribute)
    else:
        assert seam.target() is not None


def test_a_missing_target_is_a_version_mismatch() -> None:
    gone = seams.Seam("airflow.settings", "no_such_name", "a test", lambda module, name: None)
    with pytest.raises(VersionMismatchError, match=r"airflow\.settings\.no_such_name"):
        gone.target()


def test_airflow_has_one_clock_and_it_is_a_plain_function() -> None:
    """The redirection replaces the code inside ``utcnow``: whoever bound it by name is redirected too."""
    from airflow._shared.timezones import timezone

    assert isinstance(timezone.utcnow, FunctionType)
    assert inspect.signature(timezone.utcnow).parameters == {}


def test_the_clock_is_the_workflows_inside_a_scope_only() -> None:
    timezone = importlib.import_module("airflow.models.taskinstance").timezone

    with engine_scope(NOON, IdSequence("run")):
        assert timezone.utcnow() == NOON
    assert abs((timezone.utcnow() - datetime.now(UTC)).total_seconds()) < 5


def test_the_clock_is_redirected_where_columns_bound_it_before() -> None:
    from airflow.models.xcom import XComModel

    default = XComModel.__table__.c.timestamp.default
    with engine_scope(NOON, IdSequence("run")):
        assert default is not None
        assert default.arg(None) == NOON


def test_the_time_can_be_set_and_cleared() -> None:
    set_workflow_time(NOON)
    assert get_current_time() == NOON
    clear_workflow_time()
    assert abs((get_current_time() - datetime.now(UTC)).total_seconds()) < 5


def test_ids_come_from_the_run_and_are_the_same_every_time() -> None:
    from uuid6 import uuid7

    def draw(run: str) -> list[str]:
        with engine_scope(NOON, IdSequence(run)):
            return [str(uuid7()) for _ in range(3)]

    assert draw("a") == draw("a")
    assert len({*draw("a"), *draw("b")}) == 6
    assert uuid7() != uuid7()


def test_ids_have_the_layout_of_version_7_and_sort_by_time() -> None:
    ids = IdSequence("run")
    first, second = ids.draw(NOON), ids.draw(NOON.replace(second=1))
    assert (first.version, first.variant) == (7, second.variant)
    assert first < second
    assert first.int >> 80 == int(NOON.timestamp() * 1000)


def test_listeners_and_metrics_are_silent_inside_a_scope() -> None:
    dagrun = importlib.import_module("airflow.models.dagrun")

    outside = dagrun.get_listener_manager()
    with engine_scope(NOON, IdSequence("run")):
        assert dagrun.get_listener_manager().hook.on_dag_run_success(dag_run=None, msg="") is None
        assert dagrun.stats.incr("x") is None
        with dagrun.stats.timer("x"):
            pass
    assert dagrun.get_listener_manager() is outside


def test_the_mutation_hook_counts_as_absent_inside_a_scope() -> None:
    users = [importlib.import_module(name) for name in ("airflow.settings", "airflow.models.taskinstance")]

    with engine_scope(NOON, IdSequence("run")):
        for user in users:
            assert user.task_instance_mutation_hook.is_noop
            user.task_instance_mutation_hook(object())


def test_a_global_session_is_refused_inside_a_scope_and_works_outside() -> None:
    """In a user's own worker Airflow may have its database configured."""
    script = """
import airflow
from airflow import settings
from temporal_airflow.engine import seams
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.engine.time_provider import IdSequence, engine_scope
from datetime import datetime, UTC
import_scheduling_code()
from airflow.utils.session import create_session
with create_session() as session:
    session.connection()
try:
    with engine_scope(datetime.now(UTC), IdSequence("run")):
        with create_session():
            raise SystemExit("a session was opened")
except seams.MetadataDatabaseReachedError:
    print("refused")
settings.Session.remove()
"""
    outcome = run_python(script, _AIRFLOW__AS_LIBRARY="")
    assert outcome.stdout.splitlines()[-1] == "refused", outcome.stderr


def test_a_second_installation_changes_nothing() -> None:
    dagrun = importlib.import_module("airflow.models.dagrun")

    before = dagrun.stats
    seams.install(seams.ENGINE_SEAMS)
    assert dagrun.stats is before


def test_airflow_is_changed_nowhere_else() -> None:
    """Only ``seams`` may assign to what it imported from Airflow."""
    package = Path(seams.__file__).parent.parent
    for path in package.rglob("*.py"):
        if path.name == "seams.py":
            continue
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow")
            for alias in node.names
        }
        assigned = {
            target.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
        }
        assert not imported & assigned, f"{path} changes {imported & assigned}"


@pytest.mark.parametrize("name", ["utcnow", "uuid7"])
def test_airflows_models_import_no_other_clock_or_ids(name: str) -> None:
    """A model that reads time or randomness past the seams would make runs differ on replay."""
    allowed = {"airflow._shared.timezones.timezone", "airflow._shared.timezones", "uuid6"}
    for path in (AIRFLOW / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                assert node.module in allowed, f"{path.name} takes {name} from {node.module}"


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    merged = {name: value for name, value in {**os.environ, **environment}.items() if value}
    return subprocess.run([sys.executable, "-c", script], env=merged, capture_output=True, text=True, check=False)
