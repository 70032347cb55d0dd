"""The template process: Airflow imported once, then forked into slots in milliseconds.

Started by the guardian as ``python -m``; single-threaded, and no user code runs in it (plugins are loaded by the
slots). On its control socket it is told what to add to its environment, and says ``ready`` once everything is
imported. Each byte that then arrives carries a socket: a slot that serves it is forked and answered by ``slot PID``. An
exception during the imports ends the process: the traceback on stderr is what the worker reports.

It must not know what slots are asked to do.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback

from temporal_airflow.tasks import forking, process_tree

LIBRARIES = (
    "attrs",
    "cryptography.fernet",
    "httpx",
    "jinja2.ext",
    "jsonschema",
    "libcst",
    "opentelemetry.trace",
    "packaging.requirements",
    "pendulum",
    "psutil",
    "pydantic",
    "rich.traceback",
    "sqlalchemy.orm",
    "structlog.dev",
    "tenacity",
    "upath",
)
"""Half of the time that Airflow takes to be imported; none of them reads Airflow's configuration."""

PRELOADED = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.processor",
    "airflow.dag_processing.bundles.local",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.version",
    "jinja2.ext",
    "setproctitle",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.decorators.python",
    "temporal_airflow.tasks.slot",
    "temporal_airflow.tasks.callbacks",
    "temporal_airflow.tasks.runner",
    "temporal_airflow.tasks.task_process",
)
"""What nearly every task needs, and what only Airflow's own code runs when it is imported."""


def main(control_fd: int, guardian: int) -> None:
    """Import, announce, and fork slots until the worker closes the control socket."""
    process_tree.die_with_parent(guardian)
    control = socket.socket(fileno=control_fd)
    for module in LIBRARIES:
        importlib.import_module(module)
    os.environ.update(_further_environment(control))
    for module in PRELOADED:
        importlib.import_module(module)
    from temporal_airflow.engine import seams

    _prepare_logging()
    seams.prebuild_decoders()
    _block_database()
    _rehearse()
    forking.prepare()
    control.sendall(b"ready\n")
    _serve(control)


def _further_environment(control: socket.socket) -> dict[str, str]:
    """What the worker adds to the environment once it knows what is to be run."""
    line = b""
    while not line.endswith(b"\n"):
        received = control.recv(1)  # what follows are requests
        if not received:
            sys.exit(0)
        line += received
    added: dict[str, str] = json.loads(line)
    return added


def _prepare_logging() -> None:
    """Find the remote log handler now: it scans all providers, and the slots inherit what it found."""
    from airflow.sdk.log import logging_processors

    logging_processors(json_output=True)


def _rehearse() -> None:
    """Let what is forked find everything as after some tasks; without that it works too."""
    from temporal_airflow.tasks import rehearsal

    try:
        rehearsal.rehearse()
    except Exception:  # noqa: BLE001  # whatever it is: tasks only take longer
        traceback.print_exc()


def _block_database() -> None:
    """Do once what Airflow does in every process that runs user code; its engine costs each fork as much as a fork."""
    from airflow import settings
    from airflow.sdk.execution_time.supervisor import block_orm_access

    settings.dispose_orm(do_log=False)
    block_orm_access()


def _serve(control: socket.socket) -> None:
    child_exits = _wake_on_child_exit()
    while True:
        ready, _, _ = select.select([control, child_exits], [], [])
        if child_exits in ready:
            child_exits.recv(4096)
            process_tree.reap_children()
        if control in ready:
            request, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not request:
                return
            pid = _fork_slot(descriptors[0], control, child_exits)
            control.sendall(f"slot {pid}\n".encode())


def _fork_slot(descriptor: int, control: socket.socket, child_exits: socket.socket) -> int:
    template = os.getpid()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    exit_code = 1
    try:
        process_tree.die_with_parent(template)
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        child_exits.close()
        _become_slot(descriptor)
        exit_code = 0
    except BaseException:  # noqa: BLE001  # the fork must never return into the template's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(exit_code)


def _become_slot(descriptor: int) -> None:
    from temporal_airflow.tasks import slot

    slot.serve(socket.socket(fileno=descriptor))


def _wake_on_child_exit() -> socket.socket:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reader


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
