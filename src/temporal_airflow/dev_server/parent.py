"""The small process that owns a Temporal server and stops it when its last user has gone.

Run by path: ``python -I -S parent.py LAUNCH`` with a :class:`Launch` as JSON. It imports only the standard
library, so that it starts in some 30 ms, and it must know neither this package nor Temporal: it sees a command to run,
two locks, a state file. ``dev_server`` says who holds which lock, and why no race is left between them.

It forks once it holds the owner lock, and the first process ends: whoever waited for it knows that the lock is taken,
and nobody has to reap what stays. That lives in a session of its own, so that neither Ctrl-C nor the closing of the
terminal reaches it. The server inherits the owner lock and is tied to this process (``tether``): the lock is free again
only when both are gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import subprocess
import sys
import threading
from typing import Literal, TypedDict

STOP_TIMEOUT = 10.0  # seconds that a server may take to stop by itself

Event = Literal["unused", "ended"]


class Launch(TypedDict):
    """What to run, and the files that it shares with its users; every path is absolute."""

    command: list[str]
    tether: str
    owner_lock: str  # exclusive: this process and the server
    users_lock: str  # shared: the users; exclusive: this process, once they have gone
    state_file: str
    state: dict[str, str]  # what the state file says besides the two process ids
    scratch: str | None  # a folder to remove at the end: that of an ephemeral server


def main(launch: Launch) -> None:
    """Take the owner lock, go to the background, and serve until the server is not used any more or has ended."""
    owner, users = _open(launch["owner_lock"]), _open(launch["users_lock"])
    fcntl.flock(owner, fcntl.LOCK_EX)
    if os.fork():
        return
    server = _start(launch, owner)
    _write_state(launch, server.pid)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    for wait in (lambda: _wait_until_unused(users, events), lambda: _wait_until_ended(server, events)):
        threading.Thread(target=wait, daemon=True).start()
    if events.get() == "unused":
        _stop(server, events)
        _remove_traces(launch)
    os._exit(0)  # gives up both locks; a state file that outlives a crashed server is found stale by the next user


def _start(launch: Launch, owner: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", launch["tether"], str(os.getpid()), *launch["command"]]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(owner,))


def _write_state(launch: Launch, server_pid: int) -> None:
    state = {**launch["state"], "parent_pid": os.getpid(), "server_pid": server_pid}
    unfinished = launch["state_file"] + ".new"
    with open(unfinished, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would double the start time
        json.dump(state, file)
    os.replace(unfinished, launch["state_file"])  # noqa: PTH105


def _wait_until_unused(users: int, events: queue.SimpleQueue[Event]) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    events.put("unused")


def _wait_until_ended(server: subprocess.Popen[bytes], events: queue.SimpleQueue[Event]) -> None:
    server.wait()
    events.put("ended")


def _stop(server: subprocess.Popen[bytes], events: queue.SimpleQueue[Event]) -> None:
    server.terminate()
    try:
        events.get(timeout=STOP_TIMEOUT)
    except queue.Empty:
        server.kill()
        events.get()


def _remove_traces(launch: Launch) -> None:
    with contextlib.suppress(FileNotFoundError):  # the user of an ephemeral server has removed the folder itself
        os.unlink(launch["state_file"])  # noqa: PTH108
    if launch["scratch"]:
        import shutil

        shutil.rmtree(launch["scratch"], ignore_errors=True)


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
