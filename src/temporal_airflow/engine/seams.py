"""Every change this package makes to Airflow at run time, in one place.

A seam redirects one name of Airflow. ``ENGINE_SEAMS`` are installed in processes where an engine runs: outside an
engine scope each of them does what Airflow does, so a process that also uses Airflow for something else (a user's own
worker) sees no difference. They work whether Airflow was imported before or after: clock and ids are redirected inside
the function that others may have bound already, not by rebinding its name. ``TASK_SEAMS`` are installed in the forked
process of one task or one file's callbacks. ``tests/seams`` looks at the installed Airflow and fails when a target has
moved.
"""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

from pydantic import TypeAdapter

from temporal_airflow.engine import time_provider
from temporal_airflow.exceptions import VersionMismatchError
from temporal_airflow.models import TriggeredRun

VERSIONS = "apache-airflow >=3.3.2,<3.4"


class MetadataDatabaseReachedError(RuntimeError):
    """Airflow's code tried to open its global database session from inside a workflow: always a defect."""


@dataclass(frozen=True)
class Seam:
    """One redirected name.

    Attributes:
        module: where the target lives.
        attribute: its name there.
        reason: why a workflow can't use Airflow's own.
        install: replaces the target; takes the module and the attribute's name.
    """

    module: str
    attribute: str
    reason: str
    install: Callable[[Any, str], None]

    def target(self) -> Any:
        """The object as it is now.

        Raises:
            VersionMismatchError: if this Airflow doesn't have it.
        """
        try:
            return getattr(importlib.import_module(self.module), self.attribute)
        except (ImportError, AttributeError) as error:
            raise VersionMismatchError(
                f"Airflow has no {self.module}.{self.attribute}: this version isn't supported (need {VERSIONS})."
            ) from error


def _redirect_clock(module: Any, attribute: str) -> None:
    original: FunctionType = getattr(module, attribute)
    if original.__code__.co_name == "current_time":
        return

    def current_time():  # type: ignore[no-untyped-def]  # its code runs with the globals of Airflow's module
        from temporal_airflow.engine.time_provider import get_current_time

        return get_current_time()

    original.__code__ = current_time.__code__


def _redirect_ids(module: Any, attribute: str) -> None:
    original: FunctionType = getattr(module, attribute)
    if original.__code__.co_name == "next_id":
        return
    real_ids = FunctionType(original.__code__, original.__globals__, attribute)
    module._temporal_airflow_uuid7 = real_ids

    def next_id():  # type: ignore[no-untyped-def]  # its code runs with the globals of the uuid6 module
        from temporal_airflow.engine.time_provider import draw_id

        return draw_id() or _temporal_airflow_uuid7()  # type: ignore[name-defined]  # noqa: F821

    original.__code__ = next_id.__code__


class _EngineAware:
    """Airflow's own object outside an engine scope, a stand-in inside."""

    def __init__(self, original: Any, stand_in: Any) -> None:
        self._original = original
        self._stand_in = stand_in

    def _chosen(self) -> Any:
        return self._stand_in if time_provider.in_engine_scope() else self._original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._chosen()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chosen(), name)


def _stand_in(replacement: Any) -> Callable[[Any, str], None]:
    """An installer that lets users of the target get ``replacement`` inside an engine scope."""

    def install_stand_in(module: Any, attribute: str) -> None:
        original = getattr(module, attribute)
        if original is not None and not isinstance(original, _EngineAware):
            setattr(module, attribute, _EngineAware(original, replacement))

    return install_stand_in


def _give_runs_their_own_dag(module: Any, attribute: str) -> None:
    """Let the method answer from the run inside an engine scope."""
    dag_bag = getattr(module, attribute)
    original = dag_bag.get_dag_for_run
    if original.__name__ == "dag_of_run":
        return

    def dag_of_run(self: Any, dag_run: Any, session: Any) -> Any:
        if time_provider.in_engine_scope():
            return dag_run.get_dag()
        return original(self, dag_run, session=session)

    dag_bag.get_dag_for_run = dag_of_run


class _Silence:
    """Takes every call and does nothing; a timer from it is a context that does nothing."""

    is_noop = True

    def __call__(self, *_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> _Silence:
        return self

    def timer(self, *_: Any, **__: Any) -> nullcontext[None]:
        return nullcontext()


class _PlainText:
    """Encrypts nothing, and can't tell what others encrypted."""

    is_encrypted = False

    def encrypt(self, text: bytes) -> bytes:
        return text


def _refuse_session(*_: Any, **__: Any) -> Any:
    raise MetadataDatabaseReachedError(
        "Airflow's scheduling code asked for the global metadata database inside a workflow. "
        "This is a defect of temporal-airflow or an unsupported Airflow version; no database was touched."
    )


_SILENCE = _Silence()
_LISTENERS = "listeners are users' code, which never runs in a workflow"
_POLICY = "a user's policy, which never runs in a workflow"
_METRICS = "a replay would report every metric again"
_DATABASE = "a workflow must never reach Airflow's metadata database"
_PLUGINS = "importing plugins runs users' code, and the first workflow would wait for it"
_PLUGIN_CLASSES = (
    "get_timetables_plugins",
    "get_partition_mapper_plugins",
    "get_windows_plugins",
    "get_deadline_references_plugins",
    "get_priority_weight_strategy_plugins",
)

ENGINE_SEAMS: tuple[Seam, ...] = (
    Seam(
        "airflow._shared.timezones.timezone",
        "utcnow",
        "Airflow's one clock: a workflow decides by workflow time only",
        _redirect_clock,
    ),
    Seam("uuid6", "uuid7", "primary keys are random; a replay must give the same ones", _redirect_ids),
    Seam("airflow.models.dagrun", "get_listener_manager", _LISTENERS, _stand_in(lambda: _SILENCE)),
    Seam("airflow.models.taskinstance", "get_listener_manager", _LISTENERS, _stand_in(lambda: _SILENCE)),
    Seam("airflow.models.dagrun", "stats", _METRICS, _stand_in(_SILENCE)),
    Seam("airflow.models.taskinstance", "stats", _METRICS, _stand_in(_SILENCE)),
    Seam("airflow.models.deadline", "stats", _METRICS, _stand_in(_SILENCE)),
    Seam("airflow.settings", "task_instance_mutation_hook", _POLICY, _stand_in(_SILENCE)),
    Seam("airflow.models.taskinstance", "task_instance_mutation_hook", _POLICY, _stand_in(_SILENCE)),
    Seam("airflow.plugins_manager", "_get_extra_operators_links_plugins", _PLUGINS, _stand_in(lambda: ([], []))),
    *(Seam("airflow.plugins_manager", name, _PLUGINS, _stand_in(dict)) for name in _PLUGIN_CLASSES),
    Seam(
        "airflow.models.crypto",
        "get_fernet",
        "encryption is random and its key a worker's own; the only secrets in a run's database were sealed before",
        _stand_in(_PlainText),
    ),
    Seam(
        "airflow.models.dagbag",
        "DBDagBag",
        "a run's database has no serialized DAGs: to clear tasks of a run is to clear those of its own DAG",
        _give_runs_their_own_dag,
    ),
    Seam("airflow.settings", "Session", _DATABASE, _stand_in(_refuse_session)),
    Seam("airflow.settings", "NonScopedSession", _DATABASE, _stand_in(_refuse_session)),
)


def _restore_segfault_after(module: Any, attribute: str) -> None:
    original = getattr(module, attribute)
    if original.__name__ == "then_restored":  # by the template, before this process was forked from it
        return

    def then_restored(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)

    setattr(module, attribute, then_restored)


def _restore_segfault_before(module: Any, attribute: str) -> None:
    original = getattr(module, attribute)

    def restored_first(*args: Any, **kwargs: Any) -> Any:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        return original(*args, **kwargs)

    setattr(module, attribute, restored_first)


@cache
def _decoder(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def prebuild_decoders() -> None:
    """Build in the template what every task inherits."""
    from airflow.sdk.execution_time import comms
    from pydantic import JsonValue

    for kind in (comms.ToTask, JsonValue):
        _decoder(kind)


def _build_decoders_once(module: Any, attribute: str) -> None:
    setattr(module, attribute, _decoder)


_SEGFAULT = "importing a DAG file leaves a Python handler of SIGSEGV, in which a real crash loops for ever"

TASK_SEAMS: tuple[Seam, ...] = (
    Seam("airflow.sdk.execution_time.task_runner", "parse", _SEGFAULT, _restore_segfault_after),
    Seam("airflow.dag_processing.processor", "_execute_callbacks", _SEGFAULT, _restore_segfault_before),
    Seam(
        "airflow.sdk.execution_time.comms",
        "TypeAdapter",
        "Airflow builds the same decoder twice in every task, 4 ms each",
        _build_decoders_once,
    ),
    Seam(
        "airflow.sdk.execution_time.task_runner",
        "TypeAdapter",
        "Airflow builds a decoder for each rendered field of a task, 2 ms each",
        _build_decoders_once,
    ),
)


def adopting(triggered: TriggeredRun) -> Seam:
    """The seam of an attempt whose predecessor was lost when it had started a run, or was about to."""

    def adopt(module: Any, attribute: str) -> None:
        original = getattr(module, attribute)

        def with_run(drte: Any, *args: Any, **kwargs: Any) -> Any:
            if drte.trigger_dag_id == triggered.dag_id:
                drte.dag_run_id = triggered.run_id
                drte.logical_date, drte.run_after = triggered.logical_date, triggered.run_after
            return original(drte, *args, **kwargs)

        setattr(module, attribute, with_run)

    return Seam(
        "airflow.sdk.execution_time.task_runner",
        "_handle_trigger_dag_run",
        "TriggerDagRunOperator draws a new run id in each attempt, and the same try must not start a second run",
        adopt,
    )


def parsing_by(parse: Callable[..., Any]) -> Seam:
    """For processes whose tasks share what they parse; what is called instead takes the arguments of Airflow's own."""

    def stand_in(module: Any, attribute: str) -> None:
        setattr(module, attribute, parse)

    return Seam("airflow.dag_processing.dagbag", "BundleDagBag", "a task parses its file, whoever did before", stand_in)


def listener_seams(new_session: Callable[[], Any]) -> tuple[Seam, ...]:
    """For the process of listeners: whatever asks for a session of the metadata database gets one with their run."""

    def serve(module: Any, attribute: str) -> None:
        setattr(module, attribute, new_session)
        module.NonScopedSession = new_session  # the other name of the same; there only if Airflow set up its database

    return (Seam("airflow.settings", "Session", "listeners may ask for what belongs to their run", serve),)


def _silence(*_arguments: Any, **_named: Any) -> None:
    """Instead of something that users may have a part in."""


@contextmanager
def without_users(get_listener_manager: Callable[[], Any]) -> Iterator[None]:
    """For as long as the block runs, a task of our own meets neither plugins nor policies of users.

    Args:
        get_listener_manager: instead of Airflow's.
    """
    replaced = {
        ("airflow.sdk.execution_time.task_runner", "get_listener_manager"): get_listener_manager,
        ("airflow.sdk.plugins_manager", "integrate_macros_plugins"): _silence,
        ("airflow.settings", "dag_policy"): _silence,
        ("airflow.settings", "task_policy"): _silence,
    }
    originals = {}
    for (module, attribute), replacement in replaced.items():
        target = importlib.import_module(module)
        originals[target, attribute] = getattr(target, attribute)
        setattr(target, attribute, replacement)
    try:
        yield
    finally:
        for (target, attribute), original in originals.items():
            setattr(target, attribute, original)


def install(seams: tuple[Seam, ...]) -> None:
    """Install seams in this process; installing the engine's twice changes nothing.

    Raises:
        VersionMismatchError: if the installed Airflow lacks a target.
    """
    for seam in seams:
        seam.target()
        seam.install(importlib.import_module(seam.module), seam.attribute)
