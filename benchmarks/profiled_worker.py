"""``temporal-airflow worker`` that counts the CPU time of workflow code: for ``profile_run``.

On SIGUSR1 it writes what it counted, as JSON, to the file that PROFILE_TO names. With PROFILE_FUNCTIONS the Python
functions of workflow code are profiled too, which takes time itself.
"""

from __future__ import annotations

import cProfile
import functools
import io
import json
import os
import pstats
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_FUNCTIONS = 40

seconds: defaultdict[str, float] = defaultdict(float)
calls: Counter[str] = Counter()
longest: dict[str, float] = {}
profile = cProfile.Profile() if os.environ.get("PROFILE_FUNCTIONS") else None
lock = threading.Lock()


def counted(name: str, function: Callable[..., Any], *, profiled: bool = False) -> Callable[..., Any]:
    """The function, with its thread's CPU time counted."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        begin = time.thread_time()
        try:
            if profile is None or not profiled:
                return function(*arguments, **named)
            with lock:
                return profile.runcall(function, *arguments, **named)
        finally:
            took = time.thread_time() - begin
            seconds[name] += took
            calls[name] += 1
            longest[name] = max(longest.get(name, 0.0), took)

    return wrapper


def install() -> None:
    """Count from now on."""
    from temporal_airflow.engine.airflow_library import use_as_library

    use_as_library()
    from temporalio.worker import _workflow_instance

    from temporal_airflow.engine.airflow_library import import_scheduling_code

    import_scheduling_code()
    from temporal_airflow.engine.dag_run_engine import DagRunEngine

    instance: Any = _workflow_instance._WorkflowInstanceImpl
    instance.activate = counted("activation", instance.activate, profiled=True)
    engine: Any = DagRunEngine
    engine.step = counted("step", engine.step)
    engine.open = classmethod(counted("open", engine.open.__func__))
    signal.signal(signal.SIGUSR1, lambda _number, _frame: write(Path(os.environ["PROFILE_TO"])))


def write(path: Path) -> None:
    """What was counted since the last time."""
    functions = io.StringIO()
    if profile is not None:
        pstats.Stats(profile, stream=functions).sort_stats("tottime").print_stats(MOST_FUNCTIONS)
    found = {
        "seconds": dict(seconds),
        "calls": dict(calls),
        "longest": dict(longest),
        "functions": functions.getvalue(),
    }
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(found))
    unfinished.rename(path)
    for counter in (seconds, calls, longest):
        counter.clear()


if __name__ == "__main__":
    install()
    from temporal_airflow.cli import run_and_leave

    run_and_leave()
