"""What a task learns about itself and others, against Airflow's routes in ``execution_api/routes``."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.api.client import ServerResponseError
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType

from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import BundleReference, DagDescription, DagRunIdentity, DagRunRecord, TaskInstanceRecord
from temporal_airflow.tasks.channel import QuestionFailedError
from temporal_airflow.tasks.execution_api.dag_runs import DagRuns, Dags
from temporal_airflow.tasks.execution_api.kept_state import RunScope
from temporal_airflow.tasks.execution_api.run_queries import RunQueries
from temporal_airflow.tasks.execution_api.task_questions import TaskQuestions
from temporal_airflow.tasks.messages import Answer, AskDag, AskPreviousRun, AskRun, AskRuns

FIRST = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
State = TaskInstanceState
TI_ID = uuid.uuid4()
DAG = DagDescription(
    dag_id="dag",
    bundle=BundleReference(name="b", relative_fileloc="f.py"),
    tags=("a tag",),
    task_groups={"group": ("m",)},
)


class Worker:
    """Knows three daily runs: a success, a failure, and the one that asks."""

    def __init__(self) -> None:
        self.runs = [
            a_run(0, DagRunState.SUCCESS, ("a", -1, State.SUCCESS), ("m", 0, State.SUCCESS), ("m", 1, State.SUCCESS)),
            a_run(1, DagRunState.FAILED, ("a", -1, State.FAILED), ("m", 0, State.SKIPPED), ("m", 1, None)),
            a_run(2, DagRunState.RUNNING, ("a", -1, State.RUNNING)),
        ]

    def ask(self, question: AskRun | AskRuns | AskPreviousRun | AskDag) -> Answer:
        if isinstance(question, AskDag):
            if question.dag_id != "dag":
                raise QuestionFailedError("No such DAG")
            return Answer(id=1, dag=DAG)
        if isinstance(question, AskRuns):
            dates = question.logical_dates
            return Answer(id=1, runs=tuple(run for run in self.runs if dates is None or run.run.logical_date in dates))
        if isinstance(question, AskRun):
            found = [run for run in self.runs if run.run.run_id == question.run_id]
        else:
            found = [
                run
                for run in self.runs
                if run.run.logical_date is not None
                and run.run.logical_date < question.logical_date
                and question.state in (None, run.state)
            ]
        return Answer(id=1, run=found[-1] if found else None)


def a_run(day: int, state: DagRunState, *instances: tuple[str, int, TaskInstanceState | None]) -> DagRunRecord:
    date = FIRST + day * DAY
    identity = DagRunIdentity(
        dag_id="dag",
        run_id=f"day{day}",
        run_type=DagRunType.SCHEDULED,
        logical_date=date,
        data_interval_start=date,
        data_interval_end=date + DAY,
        run_after=date + DAY,
    )
    records = tuple(
        TaskInstanceRecord(task_id=task_id, map_index=index, state=each, start_date=date, end_date=date + DAY / 24)
        for task_id, index, each in instances
    )
    return DagRunRecord(run=identity, state=state, start_date=date, task_instances=records)


@pytest.fixture
def queries() -> RunQueries:
    return RunQueries(Worker())  # type: ignore[arg-type]


@pytest.fixture
def questions(queries: RunQueries) -> TaskQuestions:
    return TaskQuestions(queries, Worker().runs[2].run, RunScope(queries.asker, "queue"))


def test_counts_are_filtered(questions: TaskQuestions) -> None:
    def count(**which: object) -> int:
        return questions.get_count("dag", **which).count  # type: ignore[arg-type]

    assert count(run_ids=["day0"]) == 3
    assert count(run_ids=["day0", "day1", "unknown"]) == 6
    assert count(run_ids=["day0"], task_ids=["m"]) == 2
    assert count(run_ids=["day0"], task_ids=["m"], map_index=1) == 1
    assert count(run_ids=["day0"], map_index=-1) == 3  # no filter, as in Airflow's client
    assert count(run_ids=["day1"], states=["failed", "null"]) == 2
    assert count(logical_dates=[FIRST, FIRST + DAY], states=["success"]) == 3
    assert count(logical_dates=[FIRST + DAY / 2]) == 0
    assert count(run_ids=["day0", "day1"], logical_dates=[FIRST], task_ids=["a"]) == 1


def test_states_are_named_by_task_and_map_index(questions: TaskQuestions) -> None:
    states = questions.get_task_states("dag", run_ids=["day1"]).task_states
    assert states == {"day1": {"a": "failed", "m_0": "skipped", "m_1": None}}


def test_the_previous_task_instance_may_lie_runs_back(questions: TaskQuestions) -> None:
    last = questions.get_previous("dag", "a", FIRST + 2 * DAY).task_instance
    assert last is not None
    assert (last.run_id, last.state, last.duration) == ("day1", "failed", 3600)
    success = questions.get_previous("dag", "a", FIRST + 2 * DAY, state="success").task_instance
    assert success is not None
    assert success.run_id == "day0"
    assert questions.get_previous("dag", "m", FIRST).task_instance is None
    latest = questions.get_previous("dag", "a").task_instance
    assert latest is not None
    assert latest.run_id == "day2"


def test_the_previous_successful_run(questions: TaskQuestions) -> None:
    assert questions.get_previous_successful_dagrun(TI_ID).data_interval_start == FIRST


def test_a_run_without_logical_date_has_no_previous_success(queries: RunQueries) -> None:
    undated = Worker().runs[2].run.model_copy(update={"logical_date": None})
    assert (
        TaskQuestions(queries, undated, RunScope(queries.asker, "queue"))
        .get_previous_successful_dagrun(TI_ID)
        .start_date
        is None
    )


def test_breadcrumbs_are_the_finished_ones(questions: TaskQuestions) -> None:
    crumbs = questions.get_task_breakcrumbs("dag", "day1").breadcrumbs
    assert [(crumb["task_id"], crumb["map_index"], crumb["state"]) for crumb in crumbs] == [
        ("a", -1, "failed"),
        ("m", 0, "skipped"),
    ]


def test_runs_are_found_counted_and_missed(queries: RunQueries) -> None:
    runs = DagRuns(queries)
    assert runs.get_detail("dag", "day0").state == "success"
    assert runs.get_state("dag", "day1").state == "failed"
    assert runs.get_count("dag", run_ids=["day0", "day1"], states=["failed"]).count == 1
    previous = runs.get_previous("dag", FIRST + 2 * DAY, "success").dag_run
    assert previous is not None
    assert previous.run_id == "day0"
    assert runs.get_previous("dag", FIRST).dag_run is None
    with pytest.raises(ServerResponseError) as missing:
        runs.get_state("dag", "unknown")
    assert missing.value.response.status_code == 404


def test_without_ids_or_dates_all_runs_are_meant(queries: RunQueries, questions: TaskQuestions) -> None:
    assert questions.get_count("dag", task_ids=["a"]).count == 3
    assert DagRuns(queries).get_count("dag").count == 3
    assert DagRuns(queries).get_count("dag", states=["running", "failed"]).count == 2


def test_task_groups(questions: TaskQuestions) -> None:
    assert questions.get_count("dag", run_ids=["day0"], task_group_id="group").count == 2
    assert questions.get_count("dag", run_ids=["day1"], task_group_id="group", states=["skipped"]).count == 1
    assert questions.get_count("dag", run_ids=["day0"], task_group_id="group", task_ids=["a"]).count == 0
    of_group = {"m_0": "success", "m_1": "success"}
    states = questions.get_task_states("dag", run_ids=["day0"], task_group_id="group").task_states
    assert states == {"day0": of_group}
    with_task = questions.get_task_states("dag", run_ids=["day0"], task_group_id="group", task_ids=["a"]).task_states
    assert with_task == {"day0": {"a": "success", **of_group}}
    for dag_id, group in (("dag", "unknown"), ("other", "group")):
        with pytest.raises(ServerResponseError) as missing:
            questions.get_count(dag_id, task_group_id=group)
        assert missing.value.response.status_code == 404


def test_what_a_dag_is(queries: RunQueries) -> None:
    dag = Dags(queries).get("dag")
    assert (dag.relative_fileloc, dag.is_paused, dag.tags) == ("f.py", False, ["a tag"])
    with pytest.raises(ServerResponseError) as missing:
        Dags(queries).get("other")
    assert missing.value.response.status_code == 404


def test_only_tasks_start_runs(queries: RunQueries) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Starting a run from a callback or a trigger"):
        DagRuns(queries).trigger("dag", "run")
