"""Starts a guardian and the template below it: when they are needed, or ahead, while this process still imports.

Airflow takes a second to import here and another one there. Started ahead, the template imports the libraries that
Airflow stands on until it is told the environment in which Airflow is to be imported. If nobody needs it after all, it
goes with this process, whose end closes the lifeline. Standard library only. It must not know Airflow or asyncio.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from temporal_airflow.tasks.environment import TASK_PROCESS

GUARDIAN_MODULE = "temporal_airflow.tasks.guardian"

AS_LIBRARY = "_AIRFLOW__AS_LIBRARY"
"""For the worker's own process only: where user code runs, Airflow is fully initialised."""

FORCED_ENVIRONMENT = {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1", TASK_PROCESS: "1"}
"""A second between a task supervisor's rounds, which carry heartbeats and notice cancellations."""


@dataclass(frozen=True)
class StartedGuardian:
    """A guardian that runs, and this end of its sockets.

    Attributes:
        lifeline: ties it to this process.
        control: leads to the template.
        environ: in which it was started.
    """

    process: subprocess.Popen[bytes]
    lifeline: socket.socket
    control: socket.socket
    environ: Mapping[str, str]


_ahead: list[StartedGuardian] = []


def template_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Airflow is fully initialised and its supervisor reacts at once."""
    kept = {name: value for name, value in environ.items() if name != AS_LIBRARY}
    return kept | FORCED_ENVIRONMENT


def start_ahead() -> None:
    """Start a guardian for the first template that is wanted in this process, if its environment only adds to ours."""
    _ahead.append(_start(template_environment(os.environ)))


def started(environ: Mapping[str, str]) -> StartedGuardian:
    """A guardian whose template imports Airflow in an environment.

    Args:
        environ: of all processes that run user code.
    """
    guardian = _taken_ahead(environ) or _start(environ)
    added = {name: value for name, value in environ.items() if guardian.environ.get(name) != value}
    with contextlib.suppress(OSError):  # it has died: whoever waits for it is told why
        guardian.control.sendall(json.dumps(added).encode() + b"\n")
    return guardian


def _taken_ahead(environ: Mapping[str, str]) -> StartedGuardian | None:
    if not _ahead:
        return None
    guardian = _ahead.pop()
    if guardian.environ.keys() <= environ.keys():
        return guardian
    guardian.lifeline.close()
    guardian.control.close()
    guardian.process.wait()
    return None


def _start(environ: Mapping[str, str]) -> StartedGuardian:
    lifeline, guardian_lifeline = socket.socketpair()
    control, template_control = socket.socketpair()
    with guardian_lifeline, template_control:
        descriptors = (guardian_lifeline.fileno(), template_control.fileno())
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", GUARDIAN_MODULE, *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
            pass_fds=descriptors,
            start_new_session=True,
        )
    return StartedGuardian(process, lifeline, control, environ)
