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
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

from pydantic import TypeAdapter

from temporal_airflow.engine import time_provider
from temporal_airflow.exceptions import VersionMismatchError

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


class _Silence:
    """Takes every call and does nothing; a timer from it is a context that does nothing."""

    is_noop = True

    def __call__(self, *_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> _Silence:
        return self

    def timer(self, *_: Any, **__: Any) -> nullcontext[None]:
        return nullcontext()


def _refuse_session(*_: Any, **__: Any) -> Any:
    raise MetadataDatabaseReachedError(
        "Airflow's scheduling code asked for the global metadata database inside a workflow. "
        "This is a defect of temporal-airflow or an unsupported Airflow version; no database was touched."
    )


_SILENCE = _Silence()
_LISTENERS = "listeners are users' code, which never runs in a workflow"
_METRICS = "a replay would report every metric again"
_DATABASE = "a workflow must never reach Airflow's metadata database"

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
    Seam(
        "airflow.settings",
        "task_instance_mutation_hook",
        "a user's policy, which never runs in a workflow",
        _stand_in(_SILENCE),
    ),
    Seam("airflow.settings", "Session", _DATABASE, _stand_in(_refuse_session)),
    Seam("airflow.settings", "NonScopedSession", _DATABASE, _stand_in(_refuse_session)),
)


def _restore_segfault_after(module: Any, attribute: str) -> None:
    original = getattr(module, attribute)

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
def prebuilt_message_decoder() -> TypeAdapter[Any]:
    """The decoder of a supervisor's messages to its task; built in the template, inherited by every task."""
    from airflow.sdk.execution_time import comms

    return TypeAdapter(comms.ToTask)


def _reuse_message_decoder(module: Any, attribute: str) -> None:
    def adapter(kind: Any) -> TypeAdapter[Any]:
        return prebuilt_message_decoder() if kind is module.ToTask else TypeAdapter(kind)

    setattr(module, attribute, adapter)


_SEGFAULT = "importing a DAG file leaves a Python handler of SIGSEGV, in which a real crash loops for ever"

TASK_SEAMS: tuple[Seam, ...] = (
    Seam("airflow.sdk.execution_time.task_runner", "parse", _SEGFAULT, _restore_segfault_after),
    Seam("airflow.dag_processing.processor", "_execute_callbacks", _SEGFAULT, _restore_segfault_before),
    Seam(
        "airflow.sdk.execution_time.comms",
        "TypeAdapter",
        "Airflow builds the same decoder twice in every task, 4 ms each",
        _reuse_message_decoder,
    ),
)


def install(seams: tuple[Seam, ...]) -> None:
    """Install seams in this process; installing the engine's twice changes nothing.

    Raises:
        VersionMismatchError: if the installed Airflow lacks a target.
    """
    for seam in seams:
        seam.target()
        seam.install(importlib.import_module(seam.module), seam.attribute)
