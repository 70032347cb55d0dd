"""The main loop of a slot: one request at a time in the main thread, each task in a fork of its own.

A slot adopts the orphans of its tasks, so that whatever a killed task left behind can be found and killed here. It
must not know how requests reach it or how its results travel on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import traceback
from typing import assert_never

from temporal_airflow.tasks import process_tree
from temporal_airflow.tasks.channel import Channel, WorkerGoneError
from temporal_airflow.tasks.masking import masked
from temporal_airflow.tasks.messages import (
    AnyReply,
    Described,
    DescribeDag,
    Failed,
    HostTriggers,
    LoadDag,
    Loaded,
    Request,
    RunCallbacks,
    RunDeadlineCallback,
    RunListeners,
    RunTask,
)


def serve(connection: socket.socket) -> None:
    """Serve requests until the worker closes the connection; one of them makes this a trigger host instead."""
    process_tree.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the worker decides
    channel = Channel(connection)
    with contextlib.suppress(Exception):  # whatever it is: the first request meets it again and reports it
        _warm_up()
    try:
        while True:
            request = channel.next_request()
            if isinstance(request, HostTriggers):
                _host_triggers(connection)
                return
            channel.send(_serve_one(request, channel))
    except WorkerGoneError:
        process_tree.kill_descendants(os.getpid())


def _host_triggers(connection: socket.socket) -> None:
    from temporal_airflow.tasks.triggers import host

    _warm_up()
    host.serve(connection)


def _serve_one(request: Request, channel: Channel) -> AnyReply:
    try:
        reply = _dispatch(request, channel)
    except WorkerGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the worker reports it
        process_tree.kill_descendants(os.getpid())
        reply = _failure(error)
    process_tree.reap_children()
    if process_tree.thread_count() > 1:  # a process with threads can't be forked safely
        reply = reply.model_copy(update={"reusable": False})
    return reply


def _failure(error: Exception) -> Failed:
    from temporal_airflow.tasks.try_record import one_line

    text = masked("".join(traceback.format_exception(error)))
    return Failed(error=one_line(f"{type(error).__name__}: {error}"), traceback=text, reusable=False)


def _dispatch(request: Request, channel: Channel) -> AnyReply:
    _warm_up()
    match request:
        case RunTask():
            from temporal_airflow.tasks import task_process

            with channel.beating():
                return task_process.run_try(request, channel)
        case RunCallbacks():
            from temporal_airflow.tasks import callbacks

            with channel.beating():
                return callbacks.run_callbacks(request, channel)
        case RunDeadlineCallback():
            from temporal_airflow.tasks import deadline_callback

            with channel.beating():
                return deadline_callback.run_callback(request, channel)
        case RunListeners():
            from temporal_airflow.tasks import run_listeners

            with channel.beating():
                return run_listeners.run(request, channel)
        case LoadDag():
            from temporal_airflow.tasks import dag_loading

            return Loaded(outcome=dag_loading.load(request.input), reusable=False)  # the file's code ran in here
        case DescribeDag(dag_id=dag_id):
            from temporal_airflow.tasks import dag_loading

            return Described(outcome=dag_loading.describe(dag_id), reusable=False)
        case _:
            assert_never(request)


@functools.cache
def _warm_up() -> None:
    """Load plugins once a slot instead of once a task: user code, so never in the template."""
    from airflow.sdk.listener import get_listener_manager
    from airflow.sdk.plugins_manager import integrate_macros_plugins

    integrate_macros_plugins()
    get_listener_manager()
