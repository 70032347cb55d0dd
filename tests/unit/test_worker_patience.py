"""What is asked of Temporal's SDK without an option for it."""

from __future__ import annotations

from pathlib import Path

from temporalio.bridge import temporal_sdk_bridge

from temporal_airflow.worker_patience import HANG_UP


def test_the_sdk_reads_how_long_a_stopping_worker_lets_its_calls_return() -> None:
    assert temporal_sdk_bridge.__file__ is not None
    assert HANG_UP.encode() in Path(temporal_sdk_bridge.__file__).read_bytes()
