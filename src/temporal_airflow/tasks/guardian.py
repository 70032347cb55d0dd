"""The guardian: a small process that outlives the worker by a moment and leaves nobody behind.

It starts the template process, lives in a session of its own (Ctrl-C in a terminal reaches the worker only) and
adopts every orphan below it, so that even a task's child in a session of its own stays findable. One socket ties it to
the worker. When that ends, however the worker ended, or when the template dies, everything below is killed.

On that socket the worker also asks to kill one slot: ``kill PID`` is answered by ``killed PID`` once the slot and
everything below it is dead. A slot is recycled only when nothing of its tasks is left, so an orphan that reaches the
guardian comes from a slot that died, and is killed with the next request.

Standard library only. It must not know Airflow, tasks, or messages between worker and slots.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys

from temporal_airflow.tasks import process_tree

TEMPLATE_MODULE = "temporal_airflow.tasks.template"


def main(lifeline_fd: int, control_fd: int) -> int:
    """Run until the worker or the template is gone.

    Args:
        lifeline_fd: socket shared with the worker only.
        control_fd: socket between worker and template, handed through.

    Returns:
        The exit code of the template, or 0 if the worker ended first.
    """
    process_tree.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager signals every process: only the worker decides
    template = _start_template(control_fd)
    try:
        return _watch(socket.socket(fileno=lifeline_fd), template)
    finally:
        process_tree.kill_descendants(os.getpid())


def _start_template(control_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", TEMPLATE_MODULE, str(control_fd), str(os.getpid())]
    template = subprocess.Popen(command, pass_fds=(control_fd,))
    os.close(control_fd)
    return template


def _watch(lifeline: socket.socket, template: subprocess.Popen[bytes]) -> int:
    children = _wake_on_child_exit()
    with selectors.DefaultSelector() as selector:
        selector.register(lifeline, selectors.EVENT_READ)
        selector.register(children, selectors.EVENT_READ)
        requests = b""
        while template.poll() is None:
            ready = [key.fileobj for key, _ in selector.select()]
            if children in ready:
                children.recv(4096)
                process_tree.reap_children(spare=template.pid)
            if lifeline in ready:
                received = _receive(lifeline)
                if not received:
                    return 0
                *lines, requests = (requests + received).split(b"\n")
                for line in lines:
                    _kill_slot(int(line.removeprefix(b"kill ")), template.pid)
                    lifeline.sendall(line.replace(b"kill", b"killed") + b"\n")
        return template.returncode


def _receive(lifeline: socket.socket) -> bytes:
    try:
        return lifeline.recv(4096)
    except ConnectionResetError:
        return b""


def _kill_slot(pid: int, template: int) -> None:
    if process_tree.parent_of(pid) == template:  # else it died before, and its pid may be somebody else's by now
        process_tree.kill_tree(pid)
    process_tree.kill_descendants(os.getpid(), spare=template)


def _wake_on_child_exit() -> socket.socket:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reader


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
