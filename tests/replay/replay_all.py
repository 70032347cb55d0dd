"""Replays every history of a folder and compares what the run decided: ``python replay_all.py FOLDER``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from temporal_airflow.data_converter import DATA_CONVERTER
from temporal_airflow.engine.airflow_library import use_as_library


async def replay_all(folder: Path) -> int:
    """Replay; the first difference raises. Returns how many histories there were."""
    from temporal_airflow.worker import workflow_classes
    from temporal_airflow.workflows.keep_pool import KeepAirflowPoolWorkflow

    replayer = Replayer(workflows=[*workflow_classes(), KeepAirflowPoolWorkflow], data_converter=DATA_CONVERTER)
    paths = sorted(folder.glob("*.json"))
    for path in paths:
        history = json.loads(path.read_text())
        workflow_id = history["events"][0]["workflowExecutionStartedEventAttributes"].get("workflowId", path.stem)
        await replayer.replay_workflow(WorkflowHistory.from_json(workflow_id, history))
    return len(paths)


if __name__ == "__main__":
    use_as_library()
    count = asyncio.run(replay_all(Path(sys.argv[1])))
    sys.stdout.write(f"{count} histories replayed\n")
    sys.stdout.flush()
    os._exit(0)  # threads of Temporal's core may still hold Python objects: taking the interpreter apart can crash
