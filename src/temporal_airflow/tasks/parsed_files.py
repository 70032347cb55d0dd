"""DAG files that are parsed once in a process, for all tasks that follow in it or are forked from it.

Only of bundles that the setting ``preparsed_bundles`` names: the code at the top of such a file runs once for many
tasks. What was parsed is used as long as no file that was imported of the bundle has changed; a file that changes the
environment or the current folder while it is parsed is parsed for each task after all. It must not know tasks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID, _AIRFLOW_PARSING_CONTEXT_TASK_ID

from temporal_airflow.settings import load_settings
from temporal_airflow.tasks import bundle_files

PARSING_CONTEXT = (_AIRFLOW_PARSING_CONTEXT_DAG_ID, _AIRFLOW_PARSING_CONTEXT_TASK_ID)
"""Variables by which Airflow tells a file for which DAG and task it is parsed: here it is for all of them."""


@cache
def preparsed_bundles() -> frozenset[str]:
    """The bundles whose files may be parsed once."""
    names = (load_settings().preparsed_bundles or "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


@dataclass(frozen=True)
class _Parsed:
    bag: Any | None
    """None if it is good for one task only."""
    files: bundle_files.Files


class ParsedFiles:
    """Parses files, or knows them; to be called as Airflow's ``BundleDagBag`` is."""

    def __init__(self, parse: Callable[..., Any]) -> None:
        self._parse = parse
        self._parsed: dict[str, _Parsed] = {}

    def __call__(self, *, dag_folder: str, bundle_path: Any, bundle_name: str, **how: Any) -> Any:
        """The DAGs of a file, as Airflow would find them now."""
        how |= {"dag_folder": dag_folder, "bundle_path": bundle_path, "bundle_name": bundle_name}
        if bundle_name not in preparsed_bundles():
            return self._parse(**how)
        parsed = self._known(dag_folder)
        if parsed is None:
            return self._parse_for_all(how)
        if parsed.bag is None:
            return self._parse(**how)
        if str(bundle_path) not in sys.path:
            sys.path.append(str(bundle_path))
        return parsed.bag

    def prepare(self, **how: Any) -> bool:
        """Parse a file that tasks are going to ask for, unless that is done or can't be done for all of them.

        Returns:
            Whether it was parsed now.
        """
        unknown = self._known(how["dag_folder"]) is None
        if unknown:
            self._parse_for_all(how)
        return unknown

    def _known(self, path: str) -> _Parsed | None:
        parsed = self._parsed.get(path)
        return parsed if parsed is not None and bundle_files.unchanged(parsed.files) else None

    def _parse_for_all(self, how: Mapping[str, Any]) -> Any:
        started = time.time_ns()
        context = {name: os.environ.pop(name) for name in PARSING_CONTEXT if name in os.environ}
        before = _surroundings()
        try:
            bag = self._parse(**how)
            harmless = before == _surroundings()
        finally:
            os.environ.update(context)
        path = how["dag_folder"]
        files = bundle_files.ImportedFiles(str(how["bundle_path"])).update() | {path: bundle_files.signature(path)}
        if not bundle_files.newer(files, started):
            self._parsed[path] = _Parsed(bag if harmless and not bag.import_errors else None, files)
        return bag


def _surroundings() -> tuple[dict[str, str], str]:
    return dict(os.environ), os.getcwd()  # noqa: PTH109  # compared only
