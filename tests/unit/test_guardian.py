"""The guardian with a stand-in for the template: who dies when, without Airflow."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from temporal_airflow.tasks import process_tree

TEMPLATE = """
    import os, signal, socket, subprocess, sys

    control = socket.socket(fileno=int(sys.argv[1]))
    while control.recv(1):
        slot = os.fork()
        if not slot:
            os.setsid()
            stray = subprocess.Popen(["sleep", "600"], start_new_session=True)
            orphan = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null & echo $!"], stdout=subprocess.PIPE)
            control.send(f"{os.getpid()} {stray.pid} {orphan.stdout.decode()}".encode())
            signal.pause()
"""
"""Forks on each byte a slot with a child in another session and an orphan, and tells their pids."""

LAUNCH = "import sys; from temporal_airflow.tasks import guardian; guardian.TEMPLATE_MODULE = 'stand_in';"


@dataclass
class Guarded:
    """A running guardian, and the ends of its sockets that the worker would hold."""

    process: subprocess.Popen[bytes]
    lifeline: socket.socket
    control: socket.socket

    def fork(self) -> list[int]:
        """A slot, its child and its orphan."""
        self.control.send(b"f")
        return [int(pid) for pid in self.control.recv(100).split()]

    def template(self) -> int:
        return int(psutil.Process(self.process.pid).children()[0].pid)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(TEMPLATE))
    lifeline, guardian_lifeline = socket.socketpair()
    control, template_control = socket.socketpair()
    with lifeline, control, guardian_lifeline, template_control:
        descriptors = (guardian_lifeline.fileno(), template_control.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", f"{LAUNCH} sys.exit(guardian.main{descriptors})"],
            pass_fds=descriptors,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            start_new_session=True,
        )
        guardian_lifeline.close()
        template_control.close()
        yield Guarded(process, lifeline, control)
        lifeline.close()
        process.wait(10)


def eventually(condition: Callable[[], Any], description: str, patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"Never: {description}"
        time.sleep(0.005)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if process_tree.parent_of(pid) is not None]


def test_everything_dies_with_the_worker(guarded: Guarded) -> None:
    pids = guarded.fork() + guarded.fork()
    assert alive(pids) == pids
    guarded.lifeline.close()
    assert guarded.process.wait(2) == 0
    assert not alive(pids)


def test_everything_dies_with_the_template(guarded: Guarded) -> None:
    pids = guarded.fork()
    os.kill(guarded.template(), signal.SIGKILL)
    assert guarded.process.wait(2) == 256 - signal.SIGKILL
    assert not alive(pids)


def test_one_slot_is_killed_with_all_that_it_left_anywhere(guarded: Guarded) -> None:
    doomed, spared = guarded.fork(), guarded.fork()
    guarded.lifeline.send(f"kill {doomed[0]}\n".encode())
    assert guarded.lifeline.recv(100) == f"killed {doomed[0]}\n".encode()
    assert not alive(doomed)
    assert alive(spared)[0] == spared[0]


def test_only_slots_can_be_killed(guarded: Guarded) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    guarded.fork()
    guarded.lifeline.send(f"kill {bystander.pid}\n".encode())
    guarded.lifeline.recv(100)
    assert alive([bystander.pid])
    bystander.kill()
    bystander.wait()


def test_signals_from_a_service_manager_change_nothing(guarded: Guarded) -> None:
    pids = guarded.fork()
    guarded.process.terminate()
    guarded.process.send_signal(signal.SIGINT)
    assert alive(guarded.fork())
    assert alive(pids)[:2] == pids[:2]


def test_the_lifeline_reads_requests_in_any_portions(guarded: Guarded) -> None:
    first, second = guarded.fork(), guarded.fork()
    for byte in f"kill {first[0]}\nkill {second[0]}\n".encode():
        guarded.lifeline.send(bytes([byte]))
    eventually(lambda: not alive([first[0], second[0]]), "both slots are killed")


def test_a_process_that_outlived_its_parent_ends() -> None:
    script = f"from temporal_airflow.tasks import process_tree; process_tree.die_with_parent({os.getpid() + 1})"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 1


def test_descendants_are_listed_parents_first_and_without_the_spared() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600 & wait"], start_new_session=True)
    eventually(lambda: len(process_tree.descendants(shell.pid)) == 2, "both children run")
    below = [process.pid for process in process_tree.descendants(os.getpid())]
    children = [process.pid for process in process_tree.descendants(shell.pid)]
    assert below.index(shell.pid) < min(below.index(pid) for pid in children)
    assert not {shell.pid, *children} & {
        process.pid for process in process_tree.descendants(os.getpid(), spare=shell.pid)
    }
    process_tree.kill_tree(shell.pid)
    shell.wait()
    assert not alive(children)
