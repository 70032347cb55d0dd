"""The command line as users meet it: processes with arguments, an environment, two output streams and an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from waiting import eventually

PROGRAM = Path(sys.executable).with_name("temporal-airflow")
TEMPLATE = Path(__file__).with_name("command_template.py")
END_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """All of stdout as one JSON value."""
        return json.loads(self.stdout)


class Running:
    """A command that goes on while the test does something else; its output is in files."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.process = process
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def says(self, text: str) -> None:
        """Wait until it has said something on stderr."""
        eventually(f"{text!r} is said by {self.process.args!r}", lambda: text in self.stderr or self._has_ended())
        assert text in self.stderr, self.stderr

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def ended(self) -> Ended:
        """Wait for the end."""
        exit_code = self.process.wait(END_TIMEOUT)
        return Ended(exit_code, self.stdout, self.stderr)

    def _has_ended(self) -> bool:
        return self.process.poll() is not None


class CommandLine:
    """Starts commands, all in one Airflow home and with one Temporal server.

    Attributes:
        environment: of every command.
        folder: for output files.
        cwd: where commands are typed; where the tests run if it is None.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, cwd: Path | None = None) -> None:
        self.environment = dict(environment)
        self.folder = folder
        self.cwd = cwd
        self._count = 0
        self._template: subprocess.Popen[str] | None = None

    def call(self, *arguments: str | Path, before: str = "", **environment: str) -> Ended:
        """Run a command to its end, in a fork of a process that has imported everything.

        Args:
            arguments: of ``temporal-airflow``.
            before: Python code that runs first in the command's process.
            environment: more variables.
        """
        stdout, stderr = self._outputs()
        command = {
            "arguments": list(map(str, arguments)),
            "environment": environment,
            "before": before,
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        template = self._template = self._template or self._start_template()
        assert template.stdin is not None
        assert template.stdout is not None
        template.stdin.write(json.dumps(command) + "\n")
        template.stdin.flush()
        exit_code = int(template.stdout.readline())
        return Ended(exit_code, stdout.read_text(), stderr.read_text())

    @contextlib.contextmanager
    def start(self, *arguments: str | Path, **environment: str) -> Iterator[Running]:
        """Start the real program; at the end of the block it is killed if it hasn't ended."""
        stdout, stderr = self._outputs()
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                [PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.environment | environment,
                cwd=self.cwd,
            )
        try:
            yield Running(process, stdout, stderr)
        finally:
            process.kill()
            process.wait()

    def close(self) -> None:
        if self._template is not None:
            assert self._template.stdin is not None
            assert self._template.stdout is not None
            self._template.stdin.close()
            self._template.wait()
            self._template.stdout.close()

    def _start_template(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, TEMPLATE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.cwd,
        )

    def _outputs(self) -> tuple[Path, Path]:
        self._count += 1
        paths = self.folder / f"{self._count}.stdout", self.folder / f"{self._count}.stderr"
        for path in paths:
            path.touch()
        return paths


def environment_of(home: Path) -> dict[str, str]:
    """The environment of commands with an Airflow home and a data folder of their own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return ours | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__TEMPORAL__DATA_FOLDER": str(home / "data"),
        "COLUMNS": "200",
    }


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
