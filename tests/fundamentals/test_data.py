"""How data travels: values of any size and kind, and secrets nowhere."""

from __future__ import annotations

import os
from pathlib import Path

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow.models import XComRequest
from temporal_airflow.tasks import logs
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate

DATA = "data.py"
SECRETS = {"AIRFLOW_CONN_VAULT": "generic://user:PLANTED-PASSWORD@host", "AIRFLOW_VAR_API_TOKEN": "PLANTED-TOKEN"}


async def test_a_value_of_any_size_reaches_the_next_task(bench: RunBench) -> None:
    sizes = [1, 10, 20, 65, 3000]
    run = await bench.run(DATA, "large_values", conf={"kilobytes": sizes})
    assert run.xcom("pulls") == [size * 1024 for size in sizes]
    stored = {xcom.key for xcom in run.result.xcoms if xcom.content and xcom.content.reference}
    assert stored == {"k65", "k3000"}
    assert len(run.xcom("pushes", "k3000")) == 3000 * 1024


async def test_a_value_of_50_megabytes_travels_beside_the_history(bench: RunBench) -> None:
    kilobytes = 50 * 1024
    run = await bench.run(DATA, "large_values", conf={"kilobytes": [kilobytes]})
    assert run.xcom("pulls") == [kilobytes * 1024]
    history = await bench.history(run.workflow_id)
    assert sum(event.ByteSize() for event in history.events) < 20 * 1024


async def test_a_run_holds_only_so_many_values_and_stores_the_rest(bench: RunBench) -> None:
    sizes = [20, 21, 22, 23]
    async with bench.worker():
        workflow_id = await bench.start(
            DATA, "large_values", conf={"kilobytes": sizes}, limits={"inline_xcom_run": 50 * 1024}
        )
        run = await bench.end(workflow_id)
    assert run.xcom("pulls") == [size * 1024 for size in sizes]
    stored = {xcom.key for xcom in run.result.xcoms if xcom.content and xcom.content.reference}
    assert stored == {"k22", "k23"}


async def test_values_keep_what_json_would_lose(bench: RunBench) -> None:
    run = await bench.run(DATA, "odd_values")
    assert run.state == "success"
    assert run.xcom("pulls") == str(2**60)


async def test_a_run_grows_in_many_small_steps_that_overlook_nothing(bench: RunBench) -> None:
    async with bench.worker():
        limits = {"step_work": 7, "check_steps": True}
        workflow_id = await bench.start(DATA, "grows", conf={"many": 20}, limits=limits)
        run = await bench.end(workflow_id)
    assert run.state == "success"
    assert len(run.states) == 21


async def test_no_secret_reaches_history_queries_results_or_logs(bench: RunBench, tmp_path: Path) -> None:
    environment = {**os.environ, **bundle_environment(DAGS_FOLDER), **SECRETS}
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        run = await bench.run(DATA, "knows_secrets")
        assert (run.state, run.tries) == ("success", {"uses": 2})
        history = b"".join([event.SerializeToString() for event in (await bench.history(run.workflow_id)).events])
        record = await bench.client.record(run.workflow_id)
        xcoms = await bench.client.xcoms(run.workflow_id, XComRequest())
    files = [
        logs.log_folder() / logs.log_path(run.result.snapshot.run, "uses", -1, try_number) for try_number in (1, 2)
    ]
    seen = [history, record.model_dump_json().encode(), repr(xcoms).encode(), *(file.read_bytes() for file in files)]
    assert b"***" in seen[-1]
    for secret in (b"PLANTED-PASSWORD", b"PLANTED-TOKEN", b"SECRET-IN-ARGUMENTS"):
        assert not [place for place in seen if secret in place], secret
