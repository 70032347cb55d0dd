"""Fetches a ``temporal`` command into the cache: by the SDK's download, or by a build with Go.

What is fetched is checked, then renamed into place, so a killed process leaves a cache that is whole; one process at a
time fetches, the others wait for it. The fetching command is tied to the process that started it and dies with it. It
must not know where else a command may be found, nor how a server is started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from temporal_airflow.exceptions import ServerError

VERSION = "1.5.1"  # the newest that `go install` can build
MODULE = "github.com/temporalio/cli"
DOWNLOAD_TIMEOUT = 120.0  # seconds
BUILD_TIMEOUT = 1800.0  # seconds; it takes some 3 minutes on two cores
REPORT_INTERVAL = 2.0  # seconds between two reports of progress
LOG_TAIL = 5  # lines of a failed command's output that its error shows
TETHER = Path(__file__).with_name("tether.py")
DOWNLOAD_SCRIPT = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment

async def download(folder, version):
    environment = await WorkflowEnvironment.start_local(download_dest_dir=folder, dev_server_download_version=version)
    await environment.shutdown()

try:
    asyncio.run(download(*sys.argv[1:]))
except Exception as error:
    sys.exit(str(error))
"""

Report = Callable[[str], None]


def download(target: Path, report: Report) -> Path:
    """Let the SDK download the command. It can't only download: it starts a server as well, which ends at once.

    Raises:
        ServerError: if it fails or takes too long.
    """
    with _scratch_folder(target) as folder:
        executables = folder / "bin"
        executables.mkdir()
        arguments = [sys.executable, "-c", DOWNLOAD_SCRIPT, str(executables), f"v{VERSION}"]
        job = _Job(arguments, folder / "log.txt", DOWNLOAD_TIMEOUT, {}, lambda _: "Downloading the Temporal server")
        job.run(report)
        return _keep(executables, target)


def build(target: Path, report: Report) -> Path:
    """Build the command with Go, which takes minutes.

    Raises:
        ServerError: if Go is missing, or the build fails or takes too long.
    """
    go = shutil.which("go")
    if go is None:
        raise ServerError("there is no `go` on PATH.")
    with _scratch_folder(target) as folder:
        executables = folder / "bin"
        flags = f"-s -w -X {MODULE}/temporalcli.Version={VERSION}"
        arguments = [go, "install", "-v", "-ldflags", flags, f"{MODULE}/cmd/temporal@v{VERSION}"]
        environment = {"GOBIN": str(executables), "CGO_ENABLED": "0"}  # without C: needs no compiler or headers
        _Job(arguments, folder / "log.txt", BUILD_TIMEOUT, environment, _build_progress).run(report)
        return _keep(executables, target)


@contextlib.contextmanager
def one_at_a_time(target: Path, report: Report) -> Iterator[None]:
    """Hold the right to fetch; waits, and says so, while another process has it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(f"The cache folder {target.parent} can't be made: {error}. Set cache_folder.") from error
    lock, start, patience = FileLock(f"{target}.lock"), time.monotonic(), 0.0
    while not lock.is_locked:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=patience)
            break
        patience = REPORT_INTERVAL
        report(f"Another process fetches the Temporal server; waiting for it ({time.monotonic() - start:.0f} s).")
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Job:
    """A command that takes long: shown while it runs, bounded, gone with whoever started it."""

    arguments: list[str]
    log: Path
    timeout: float  # seconds
    environment: dict[str, str]
    describe: Callable[[str], str]  # from the log so far
    start: float = field(default_factory=time.monotonic)

    def run(self, report: Report) -> None:
        """Run it to its end.

        Raises:
            ServerError: with the end of its output, if it fails or takes too long.
        """
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self.arguments]
        environment = os.environ | self.environment
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            try:
                self._watch(process, report)
            finally:
                process.kill()
                process.wait()
        if process.returncode:
            raise ServerError("it failed: " + self._last_output())

    def _watch(self, process: subprocess.Popen[bytes], report: Report) -> None:
        while process.poll() is None:
            elapsed = time.monotonic() - self.start
            if elapsed > self.timeout:
                raise ServerError(f"not done after {elapsed:.0f} s: " + self._last_output())
            report(f"{self.describe(self._output())} ({elapsed:.0f} s).")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(REPORT_INTERVAL)

    def _output(self) -> str:
        return self.log.read_text(errors="replace")

    def _last_output(self) -> str:
        return " / ".join(self._output().strip().splitlines()[-LOG_TAIL:]) or "(it printed nothing)"


def _build_progress(output: str) -> str:
    lines = output.splitlines()
    downloaded = sum(line.startswith("go: downloading ") for line in lines)
    compiled = sum(not line.startswith("go: ") for line in lines)
    return (
        f"Building Temporal {VERSION} with Go, once, takes some minutes: "
        f"{downloaded} modules downloaded, {compiled} packages compiled"
    )


@contextlib.contextmanager
def _scratch_folder(target: Path) -> Iterator[Path]:
    """A folder beside the target. What killed processes left there goes: the caller is the only one at work."""
    for leftover in target.parent.glob("fetch-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _keep(executables: Path, target: Path) -> Path:
    """Move the one executable that was fetched to its place in the cache, in one step."""
    fetched = [path for path in executables.iterdir() if path.is_file() and os.access(path, os.X_OK)]
    if len(fetched) != 1:
        raise ServerError(f"it left {len(fetched)} executables, not one.")
    if subprocess.run([fetched[0], "--version"], capture_output=True, timeout=60, check=False).returncode:
        raise ServerError("what it made can't be run on this machine.")
    return fetched[0].replace(target)
