"""Runs through the command line: real programs, real signals, what they print and how they end."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine, Ended, Running, is_gone
from waiting import eventually

SUCCESS, RUN_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
FOLDER = Path(__file__).parent.parent / "dags" / "command_line"
STEPS = FOLDER / "steps.py"
AT_ONCE = 10.0  # seconds

pytestmark = pytest.mark.usefixtures("server")


@dataclass
class Steps:
    """A run of the DAG `steps`, whose second task is held at a gate."""

    commands: CommandLine
    scratch: Path
    run_id: str
    stubborn: bool = False

    @property
    def name(self) -> str:
        return f"steps/{self.run_id}"

    @property
    def arguments(self) -> tuple[str, ...]:
        conf = {"scratch": str(self.scratch), "stubborn": self.stubborn}
        return ("--run-id", self.run_id, "--conf", json.dumps(conf))

    @property
    def notes(self) -> list[str]:
        """What the tasks did, without process ids."""
        return [
            line.partition(" ")[0] if line.startswith("held ") and line[5].isdigit() else line for line in self.lines
        ]

    @property
    def lines(self) -> list[str]:
        path = self.scratch / "notes"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def pids(self) -> list[int]:
        """Processes of the held task and their children."""
        return [int(pid) for line in self.lines for pid in line.split() if pid.isdigit()]

    def wait_until_held(self, times: int = 1) -> None:
        eventually("the second task is held", lambda: self.notes.count("held") == times)

    def open_gate(self) -> None:
        (self.scratch / "gate").touch()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.commands.call("status", self.name, "-o", "json").json
        return status

    def wait_until_ended(self) -> dict[str, Any]:
        """The run at its end."""
        eventually(f"{self.name} ends", lambda: self.status()["state"] not in {"queued", "running"})
        return self.status()

    def assert_no_process_is_left(self) -> None:
        assert self.pids
        eventually(f"processes {self.pids} are gone", lambda: all(map(is_gone, self.pids)), patience=5)


@pytest.fixture
def steps(commands: CommandLine, tmp_path: Path) -> Iterator[Steps]:
    steps = Steps(commands, tmp_path, f"run-{uuid.uuid4().hex[:8]}")
    yield steps
    steps.open_gate()


@pytest.fixture
def task_queue() -> str:
    """A task queue that only this test uses."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def served(commands: CommandLine) -> Iterator[str]:
    """A task queue with a worker."""
    with worker(commands, "served") as running:
        running.says("Worker ready")
        yield "served"


@pytest.fixture(scope="module")
def flaky_run(commands: CommandLine) -> Ended:
    """A run of the DAG `flaky`."""
    with commands.start("run", FOLDER / "flaky.py", "--run-id", "one", "--output", "json", "--xcom") as command:
        return command.ended()


def worker(
    commands: CommandLine, task_queue: str, *arguments: str, folder: Path = FOLDER, **environment: str
) -> AbstractContextManager[Running]:
    environment["AIRFLOW__TEMPORAL__TASK_QUEUE"] = task_queue
    return commands.start("worker", "--dags-folder", folder, *arguments, **environment)


def trigger(commands: CommandLine, task_queue: str, *arguments: str | Path) -> Ended:
    return commands.call("trigger", *arguments, AIRFLOW__TEMPORAL__TASK_QUEUE=task_queue)


def by_task(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {ti["task_id"]: ti for ti in run["task_instances"]}


def states(run: dict[str, Any]) -> dict[str, str]:
    return {task_id: ti["state"] for task_id, ti in by_task(run).items()}


# `run` and what can be asked about a run that has ended


def test_run_prints_one_json_object_on_stdout_and_progress_on_stderr(flaky_run: Ended) -> None:
    assert flaky_run.exit_code == SUCCESS, flaky_run.stderr
    run = flaky_run.json
    assert list(run) == [
        "dag_id", "run_id", "workflow_id", "state", "logical_date", "start_date", "end_date", "task_instances",
    ]  # fmt: skip
    assert (run["dag_id"], run["run_id"], run["workflow_id"]) == ("flaky", "one", "dag-flaky-one")
    assert run["state"] == "success"
    for ti in run["task_instances"]:
        assert list(ti) == ["task_id", "map_index", "state", "try_number", "start_date", "end_date", "xcom"]
    assert "flaky: up_for_retry (try 1)" in flaky_run.stderr
    assert "Run success after" in flaky_run.stderr
    assert "Temporal UI: http://127.0.0.1:" in flaky_run.stderr


def test_a_task_that_fails_twice_succeeds_at_its_third_try(flaky_run: Ended) -> None:
    tasks = by_task(flaky_run.json)
    assert (tasks["flaky"]["state"], tasks["flaky"]["try_number"]) == ("success", 3)
    assert (tasks["double"]["state"], tasks["double"]["try_number"]) == ("success", 1)


def test_xcom_adds_each_tasks_values(flaky_run: Ended) -> None:
    tasks = by_task(flaky_run.json)
    assert tasks["flaky"]["xcom"] == {"extra": [1, 2], "return_value": {"answer": 42}}
    assert tasks["double"]["xcom"] == {"return_value": 84}


def test_status_gives_the_same_object_as_run(commands: CommandLine, flaky_run: Ended) -> None:
    run = flaky_run.json
    for ti in run["task_instances"]:
        del ti["xcom"]
    assert commands.call("status", "flaky/one", "-o", "json").json == run
    assert commands.call("status", "dag-flaky-one", "-o", "json").json == run


def test_status_shows_a_table(commands: CommandLine, flaky_run: Ended) -> None:
    lines = commands.call("status", "flaky/one").stdout.splitlines()
    assert lines[0] == "flaky one success"
    assert lines[1].split() == ["task", "state", "try", "duration", "note"]
    assert [line.split()[:3] for line in lines[2:]] == [["double", "success", "1"], ["flaky", "success", "3"]]


def test_list_gives_runs(commands: CommandLine, flaky_run: Ended) -> None:
    [listed] = commands.call("list", "--dag-id", "flaky", "-o", "json").json
    assert listed["workflow_id"] == "dag-flaky-one"
    assert (listed["dag_id"], listed["run_id"], listed["state"]) == ("flaky", "one", "success")
    assert listed["logical_date"] == flaky_run.json["logical_date"]
    assert listed["start_date"] < listed["end_date"]


def test_logs_are_of_the_last_try_or_of_one_asked_for(commands: CommandLine, flaky_run: Ended) -> None:
    last = commands.call("logs", "flaky/one", "flaky").stdout
    assert "this is try 3" in last
    assert "not yet" not in last
    first = commands.call("logs", "flaky/one", "flaky", "--try", "1").stdout
    assert "this is try 1" in first
    assert "RuntimeError: not yet" in first


def test_following_the_log_of_a_try_that_has_ended_gives_all_of_it(commands: CommandLine, flaky_run: Ended) -> None:
    followed = commands.call("logs", "flaky/one", "flaky", "--follow")
    assert followed.stdout == commands.call("logs", "flaky/one", "flaky").stdout


def test_xcom_gives_one_value_or_all(commands: CommandLine, flaky_run: Ended) -> None:
    assert commands.call("xcom", "flaky/one", "flaky", "--key", "extra").json == [1, 2]
    assert commands.call("xcom", "flaky/one", "flaky").json == {"extra": [1, 2], "return_value": {"answer": 42}}


def test_a_failed_run_shows_the_end_of_the_log(commands: CommandLine) -> None:
    ended = commands.call("run", FOLDER / "failing.py", "--output", "json")
    assert ended.exit_code == RUN_FAILED
    assert ended.json["state"] == "failed"
    tasks = by_task(ended.json)
    assert (tasks["always"]["state"], tasks["always"]["try_number"]) == ("failed", 2)
    assert (tasks["after"]["state"], tasks["after"]["try_number"]) == ("upstream_failed", 0)
    summary = ended.stderr.partition("always failed (try 2)")[2]
    assert "looking for the file" in summary
    assert "FileNotFoundError: there is no file today" in summary
    assert "Run failed after" in summary


# Interrupting `run`, and going on with it


def test_the_first_interrupt_cancels_the_run(commands: CommandLine, steps: Steps) -> None:
    with commands.start("run", STEPS, *steps.arguments, "--output", "json") as command:
        steps.wait_until_held()
        command.interrupt()
        ended = command.ended()
    assert ended.exit_code == RUN_FAILED
    assert ended.json["state"] == "failed"
    assert states(ended.json) == {"first": "success", "held": "failed", "last": "skipped"}
    assert "Cancelling the run; press Ctrl-C again to leave at once" in ended.stderr
    assert steps.notes == ["first", "held", "held on_kill"]
    steps.assert_no_process_is_left()


def test_a_run_goes_on_until_the_runs_that_its_tasks_started_have_ended(commands: CommandLine, dags: Path) -> None:
    conf = json.dumps({"scratch": str(commands.folder), "seconds": 1, "waits": 1})
    with commands.start("run", dags / "triggering.py", "--dag-id", "starts_a_chain", "--conf", conf) as command:
        command.says("of DAG 'triggered' has ended, which a task started")
        (commands.folder / "go").touch()
        ended = command.ended()
    assert ended.exit_code == 0, ended.stderr
    runs = {run["dag_id"]: run["state"] for run in commands.call("list", "-o", "json").json}
    assert (runs["starts_a_chain"], runs["chained"], runs["triggered"]) == ("success", "success", "success")
    assert "of DAG 'chained' has ended, which a task started" in ended.stderr
    assert "of DAG 'triggered': success" in ended.stderr


def test_an_interrupt_cancels_the_runs_that_tasks_started(commands: CommandLine, dags: Path, tmp_path: Path) -> None:
    conf = json.dumps({"scratch": str(tmp_path), "seconds": 600})
    with commands.start("run", dags / "triggering.py", "--dag-id", "starts_a_chain", "--conf", conf) as command:
        command.says("of DAG 'chained' has ended, which a task started")
        command.interrupt()
        ended = command.ended()
    assert ended.exit_code == 0, "the run itself had succeeded"
    assert "of DAG 'chained': failed" in ended.stderr


def test_the_second_interrupt_leaves_at_once(commands: CommandLine, steps: Steps) -> None:
    steps.stubborn = True
    with commands.start("run", STEPS, *steps.arguments) as command:
        steps.wait_until_held()
        command.interrupt()
        eventually("the task is being stopped", lambda: "held on_kill" in steps.notes)
        command.interrupt()
        assert command.process.wait(AT_ONCE) == INTERRUPTED
        assert f"Left at once. The run {steps.run_id!r} of DAG 'steps' has ended, cancelled." in command.stderr
        assert "Traceback" not in command.stderr
    steps.assert_no_process_is_left()
    [listed] = [run for run in commands.call("list", "-o", "json").json if run["run_id"] == steps.run_id]
    assert listed["state"] == "failed"
    assert steps.notes == ["first", "held", "held on_kill"]


def test_run_goes_on_with_an_open_run(commands: CommandLine, steps: Steps) -> None:
    with commands.start("run", STEPS, *steps.arguments, AIRFLOW__TEMPORAL__HEARTBEAT_TIMEOUT="3") as command:
        steps.wait_until_held()
        command.interrupt(signal.SIGKILL)
        command.process.wait()
    steps.assert_no_process_is_left()
    steps.open_gate()
    ended = commands.call("run", STEPS, *steps.arguments, "--output", "json")
    assert ended.exit_code == SUCCESS
    assert f"Run {steps.run_id} is still open: going on with it" in ended.stderr
    assert steps.notes == ["first", "held", "held", "held ended", "last"]
    assert {ti["try_number"] for ti in ended.json["task_instances"]} == {1}
    [lost] = by_task(ended.json)["held"]["lost_attempts"]
    assert lost["reason"] == "no heartbeat: the worker or its machine went away"


# Workers elsewhere


def test_trigger_a_file_and_wait(commands: CommandLine, served: str, steps: Steps) -> None:
    steps.open_gate()
    ended = trigger(commands, served, STEPS, *steps.arguments, "--wait")
    assert ended.exit_code == SUCCESS, ended.stderr
    assert ended.stdout == f"dag-steps-{steps.run_id}\n"
    assert "Run success after" in ended.stderr
    assert steps.notes == ["first", "held", "held ended", "last"]


def test_waiting_for_a_run_that_fails(commands: CommandLine, served: str) -> None:
    ended = trigger(commands, served, "failing", "--wait")
    assert ended.exit_code == RUN_FAILED
    assert "FileNotFoundError: there is no file today" in ended.stderr


def test_trigger_a_dag_id_and_follow_a_log(commands: CommandLine, served: str, steps: Steps) -> None:
    triggered = trigger(commands, served, "steps", *steps.arguments)
    assert triggered.stdout == f"dag-steps-{steps.run_id}\n"
    steps.wait_until_held()
    assert states(steps.status()) == {"first": "success", "held": "running", "last": None}
    with commands.start("logs", "--follow", steps.name, "held") as follower:
        eventually("the log is followed", lambda: "held at the gate" in follower.stdout)
        assert "let through the gate" not in follower.stdout
        steps.open_gate()
        followed = follower.ended()
    assert followed.exit_code == SUCCESS
    assert "let through the gate" in followed.stdout
    assert steps.wait_until_ended()["state"] == "success"


def test_a_dag_id_that_the_worker_does_not_have(commands: CommandLine, served: str) -> None:
    ended = trigger(commands, served, "step")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "No DAG 'step' in the DAG bundles of the worker" in ended.stderr
    assert "did you mean 'steps'?" in ended.stderr


def test_cancel_and_wait(commands: CommandLine, served: str, steps: Steps) -> None:
    trigger(commands, served, "steps", *steps.arguments)
    steps.wait_until_held()
    cancelled = commands.call("cancel", steps.name, "--wait")
    assert cancelled.exit_code == SUCCESS
    assert "Run failed." in cancelled.stderr
    assert states(steps.status()) == {"first": "success", "held": "failed", "last": "skipped"}
    assert steps.notes == ["first", "held", "held on_kill"]
    steps.assert_no_process_is_left()


def test_a_queue_is_served_by_its_worker_only(commands: CommandLine, served: str) -> None:
    name = trigger(commands, served, "queues", "--run-id", "special").stdout.strip()

    def now() -> dict[str, str]:
        return states(commands.call("status", name, "-o", "json").json)

    eventually("the usual task has ended", lambda: now()["usual"] == "success")
    assert now()["special"] == "queued"
    with worker(commands, served, "--queue", "special") as special:
        special.says("Airflow queues: default, special")
        eventually("the special task has ended", lambda: now()["special"] == "success")


def test_the_first_sigterm_drains_a_worker(commands: CommandLine, task_queue: str, steps: Steps) -> None:
    with worker(commands, task_queue) as running:
        running.says("Worker ready")
        trigger(commands, task_queue, "steps", *steps.arguments)
        steps.wait_until_held()
        running.interrupt(signal.SIGTERM)
        running.says("Draining: no new tasks are taken")
        assert running.process.poll() is None
        steps.open_gate()
        assert running.ended().exit_code == SUCCESS
    assert steps.notes[:3] == ["first", "held", "held ended"]


def test_the_second_sigterm_stops_tasks_which_run_again_elsewhere(
    commands: CommandLine, task_queue: str, steps: Steps
) -> None:
    with worker(commands, task_queue) as running:
        running.says("Worker ready")
        trigger(commands, task_queue, "steps", *steps.arguments)
        steps.wait_until_held()
        running.interrupt(signal.SIGTERM)
        running.says("Draining")
        running.interrupt(signal.SIGTERM)
        running.says("Stopping the running tasks; they will run again on another worker")
        assert running.process.wait(AT_ONCE) == SUCCESS
    steps.assert_no_process_is_left()
    steps.open_gate()
    with worker(commands, task_queue) as running:
        running.says("Worker ready")
        run = steps.wait_until_ended()
    assert run["state"] == "success"
    assert {ti["try_number"] for ti in run["task_instances"]} == {1}
    assert len(by_task(run)["held"]["lost_attempts"]) == 1
    assert steps.notes == ["first", "held", "held", "held ended", "last"]
    assert "attempt 1 of try 1 lost" in commands.call("status", steps.name).stdout


def test_a_worker_without_the_file_fails_the_task_with_that_reason(
    commands: CommandLine, task_queue: str, steps: Steps, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    missing_dag = {"AIRFLOW__WORKERS__MISSING_DAG_RETRIES": "1", "AIRFLOW__WORKERS__MISSING_DAG_RETRY_DELAY": "1"}
    with worker(commands, task_queue, folder=elsewhere, **missing_dag):
        ended = trigger(commands, task_queue, STEPS, *steps.arguments, "--wait")
    assert ended.exit_code == RUN_FAILED
    assert "first: up_for_reschedule" in ended.stderr
    assert "first failed (try 1)" in ended.stderr
    assert "steps.py" in ended.stderr
    assert states(steps.status()) == {"first": "failed", "held": "upstream_failed", "last": "upstream_failed"}
    assert steps.notes == []


# Why tasks wait


def test_status_says_why_each_task_waits(commands: CommandLine, task_queue: str, tmp_path: Path) -> None:
    conf = json.dumps({"scratch": str(tmp_path)})
    with worker(commands, task_queue, "--concurrency", "4") as running:
        running.says("Worker ready")
        started = trigger(commands, task_queue, FOLDER / "waits_for_all.py", "--run-id", "one", "--conf", conf)
        assert started.exit_code == SUCCESS, started.stderr
        whys = eventually("every task waits for what it is to wait for", lambda: all_reasons(commands))
        dependency, reason, tasks = whys["after"]
        assert (dependency, tasks) == ("Trigger Rule", ["holds (running)"])
        assert reason.endswith("all upstream tasks to have succeeded, but found 1 non-success(es).")
        assert "has been reached" in whys["comes_late"][1]
        assert "The max task concurrency per run has been reached" in whys["one_by_one"][1]
        assert whys["retries"][0] == "Not In Retry Period"
        assert whys["pokes"][0] == "Ready To Reschedule"
        assert "airflow.providers.standard.triggers.temporal.DateTimeTrigger since 20" in whys["defers"][1]
        assert "It asks 'Go on?' since 20" in whys["asks"][1]
        assert f"a worker of task queue '{task_queue}-nobody', since" in whys["is_elsewhere"][1]

        table = commands.call("status", "waits_for_all/one", "--why").stdout
        assert "  Trigger Rule: Task's trigger rule 'all_success' requires" in table
        assert "Upstream: holds (running)." in table
        one = commands.call("status", "waits_for_all/one", "after", "--why").stdout
        assert ("after (waiting):" in one, "retries" in one) == (True, False)
        plain = commands.call("status", "waits_for_all/one").stdout
        assert f"waits: a worker of task queue '{task_queue}-nobody', since" in plain

        commands.call("cancel", "waits_for_all/one", "--wait")
    after = commands.call("status", "waits_for_all/one", "--why", "-o", "json").json
    assert by_task(after)["holds"]["state"] == "failed"
    assert "why" in by_task(after)["after"]


def all_reasons(commands: CommandLine) -> dict[str, tuple[str | None, str, list[str]]]:
    """The reason of each task that waits, once all of those do that shall; by task id."""
    ended = commands.call("status", "waits_for_all/one", "--why", "-o", "json")
    assert ended.exit_code == SUCCESS, ended.stderr
    tasks = [ti for ti in ended.json["task_instances"] if ti["state"] not in {"running", "success"}]
    said = {ti["task_id"]: tuple(ti["why"][-1].values()) for ti in tasks}
    elsewhere = said.get("is_elsewhere", (None, "", []))
    return said if len(said) == 8 and "since" in elsewhere[1] else {}


def test_an_unknown_task_to_be_explained(commands: CommandLine, flaky_run: Ended) -> None:
    for arguments in (("flakey",), ("flakey", "--why")):
        ended = commands.call("status", "flaky/one", *arguments)
        assert ended.exit_code == BAD_INPUT
        assert "Run 'one' has no task 'flakey' (did you mean 'flaky'?); it has: double, flaky." in ended.stderr


def test_a_run_is_operated(commands: CommandLine, served: str, steps: Steps) -> None:
    trigger(commands, served, "steps", *steps.arguments)
    steps.wait_until_held()
    misspelt = commands.call("clear", steps.name, "hled")
    assert (misspelt.exit_code, "has no task 'hled' (did you mean 'held'?)" in misspelt.stderr) == (2, True)
    looked = commands.call("clear", steps.name, "held", "--downstream", "--dry-run")
    assert "Would be cleared: held (running), last (no state yet)." in looked.stderr
    marked = commands.call("mark", steps.name, "held", "--state", "failed", "--user", "ann")
    assert "Marked failed: held (running)." in marked.stderr
    assert steps.wait_until_ended()["state"] == "failed"
    assert commands.call("note", steps.name, "held", "The gate was shut.").exit_code == 0
    assert commands.call("note", steps.name, "Ask ann.").exit_code == 0
    noted = steps.status()
    assert (noted["note"], by_task(noted)["held"]["note"]) == ("Ask ann.", "The gate was shut.")
    steps.open_gate()
    again = commands.call("rerun", steps.name, "--failed", "--output", "json")
    assert [ti["task_id"] for ti in again.json["task_instances"]] == ["held", "last"]
    assert again.json["state"] == "queued"
    assert steps.wait_until_ended()["state"] == "success"
    assert commands.call("mark", steps.name, "--state", "failed").exit_code == 0
    assert steps.wait_until_ended()["state"] == "failed"


@pytest.mark.parametrize(("arguments", "message"), [
    (("mark", "some/run"), "Say which state (--state): failed, success."),
    (("mark", "some/run", "task"), "Say which state (--state): failed, skipped, success."),
    (("mark", "some/run", "--state", "sucess"), "There is no state 'sucess' (did you mean 'success'?); a run can be"),
    (("mark", "some/run", "--state", "failed", "--downstream"), "--downstream and --map-index are about a task"),
    (("note", "some/run", "a", "long", "note"), "A note is one text: put it in quotes."),
])  # fmt: skip
def test_what_can_not_be_meant_is_said_at_once(commands: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    ended = commands.call(*arguments)
    assert (ended.exit_code, message in ended.stderr) == (2, True), ended.stderr
