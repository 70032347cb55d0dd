"""Environment variables by which processes that run user code know what they are. It imports nothing."""

from __future__ import annotations

TASK_PROCESS = "TEMPORAL_AIRFLOW_TASK_PROCESS"
"""Set in every process that parses or runs DAG files: starting a run from there would recurse."""
