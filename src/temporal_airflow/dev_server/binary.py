"""Finds the ``temporal`` command: on PATH, in our cache, else fetched (``fetch``) into the cache.

Each way is a function that returns the executable or raises a :class:`ServerError` saying why not. It must not know how
a server is started or shared.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from temporal_airflow.dev_server import fetch
from temporal_airflow.exceptions import ServerError, VersionMismatchError
from temporal_airflow.settings import Settings

# The server's version decides: a command that was built with `go install` calls itself "temporal version 0.0.0-DEV".
MINIMUM_SERVER_VERSION = (1, 28, 0)  # first in Temporal CLI 1.4
VERSION_TIMEOUT = 20.0  # seconds

Report = Callable[[str], None]
Way = Callable[[], Path]


class Version(NamedTuple):
    """What ``temporal --version`` says."""

    text: str
    server: tuple[int, ...]

    @property
    def server_name(self) -> str:
        """The server's version as people write it: ``1.29.1``."""
        return ".".join(map(str, self.server))


def find_binary(settings: Settings, report: Report) -> Path:
    """Find the ``temporal`` command, fetching it when this machine has none.

    Args:
        settings: say where the cache is.
        report: told every couple of seconds what takes time.

    Raises:
        VersionMismatchError: if the one on PATH is too old.
        ServerError: if no way works; the message has a line for each.
    """
    target = settings.cache_folder / "bin" / f"temporal-{fetch.VERSION}"
    failures: dict[str, str] = {}
    found = _first({"PATH": on_path, "cache": partial(from_cache, target)}, failures)
    found = found or _fetch(target, report, failures)
    if found is None:
        raise ServerError(_nothing_worked(failures))
    return found


def read_version(binary: Path) -> Version:
    """Ask a ``temporal`` command for its version; it takes some 30 ms.

    Raises:
        ServerError: if it can't be run, or isn't Temporal's.
    """
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{binary} can't be run ({error}). Remove it, or put a working one on PATH.") from error
    text = answer.stdout.strip()
    numbers = re.search(r"\(server v?(\d+)\.(\d+)\.(\d+)", text, re.IGNORECASE)
    if answer.returncode or numbers is None:
        said = text or answer.stderr.strip() or f"exit code {answer.returncode}"
        raise ServerError(f"{binary} is not a Temporal CLI: asked for its version it says {said!r}.")
    return Version(text, tuple(map(int, numbers.groups())))


def on_path() -> Path:
    """The ``temporal`` on PATH.

    Raises:
        ServerError: if there is none.
        VersionMismatchError: if its server is older than what we need.
    """
    found = shutil.which("temporal")
    if found is None:
        raise ServerError("there is no `temporal`.")
    version = read_version(Path(found))
    if version.server < MINIMUM_SERVER_VERSION:
        needed = ".".join(map(str, MINIMUM_SERVER_VERSION))
        raise VersionMismatchError(
            f"{found} is too old: it is {version.text!r}, and server {needed} or newer is needed. "
            "Upgrade it, or take it off PATH (then one is fetched), or name a running server in [temporal] address."
        )
    return Path(found)


def from_cache(target: Path) -> Path:
    """The command that an earlier fetch left; it was renamed into place, so it is whole if it is there.

    Raises:
        ServerError: if there is none.
    """
    if not os.access(target, os.X_OK):
        raise ServerError(f"there is no {target}.")
    return target


def _fetch(target: Path, report: Report, failures: dict[str, str]) -> Path | None:
    with fetch.one_at_a_time(target, report):
        fetched_meanwhile = _first({"cache": partial(from_cache, target)}, {})
        ways: dict[str, Way] = {
            "download by the Temporal SDK": partial(fetch.download, target, report),
            "build with Go": partial(fetch.build, target, report),
        }
        return fetched_meanwhile or _first(ways, failures)


def _first(ways: dict[str, Way], failures: dict[str, str]) -> Path | None:
    """Try the ways in their order; the reasons of those that fail go to ``failures``."""
    for name, way in ways.items():
        try:
            return way()
        except ServerError as error:
            failures[name] = str(error)
    return None


def _nothing_worked(failures: dict[str, str]) -> str:
    tried = "\n".join(f"  - {name}: {reason}" for name, reason in failures.items())
    return (
        f"No Temporal server could be found or fetched. Tried:\n{tried}\n"
        "Put the Temporal CLI (https://docs.temporal.io/cli) or Go (https://go.dev/dl) on PATH, "
        "or name a running server in [temporal] address or TEMPORAL_ADDRESS."
    )
