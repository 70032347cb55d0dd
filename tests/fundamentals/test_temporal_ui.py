"""What people see of a run in Temporal's UI: names, states and errors, not ids."""

from __future__ import annotations

from temporalio.api.enums.v1 import EventType

from run_bench import RunBench


async def test_a_run_reads_well_in_temporals_ui(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start("flow.py", "always_fails", run_id="readable")
        await bench.end(workflow_id)
        handle = bench.temporal.get_workflow_handle(workflow_id)
        metadata = await handle.query("__temporal_workflow_metadata")
    details = metadata.current_details
    assert details.startswith("**always_fails** `readable`: **failed** (task_failure)")
    assert "| broken | failed | 2 | ValueError: always |" in details
    assert "| never | upstream_failed | 0 |  |" in details

    description = await handle.describe()
    assert await description.static_summary() == "always_fails readable"
    assert (await description.memo())["dag_id"] == "always_fails"

    scheduled = [
        (event.activity_task_scheduled_event_attributes.activity_id, event.user_metadata.summary.data)
        for event in (await bench.history(workflow_id)).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert sorted(scheduled) == [
        ("broken/1", b'"broken"'),
        ("broken/2", b'"broken"'),
        ("independent/1", b'"independent"'),
    ]
