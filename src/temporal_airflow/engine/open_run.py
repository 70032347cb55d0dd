"""What one open run is made of: its rows, what is out for it, and the commands of the step that is being taken.

Everything in the engine that changes a run goes through it. It must not decide when anything happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.engine import human_input, lost_tasks, outcomes, records
from temporal_airflow.engine.assets import RunAssets
from temporal_airflow.engine.attempts import AttemptInputs, InFlight, TaskHistory, key_of
from temporal_airflow.engine.capacity import StartQueue
from temporal_airflow.engine.claims import Claims
from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.deadlines import Deadlines
from temporal_airflow.engine.events import (
    Command,
    NotifyListeners,
    RunCallbacks,
    StartTask,
    StartTrigger,
    StopTask,
    TaskKey,
)
from temporal_airflow.engine.growth import Growth
from temporal_airflow.engine.past_runs import PastRunRows
from temporal_airflow.engine.task_instances import TaskInstances
from temporal_airflow.engine.task_memory import TaskMemory
from temporal_airflow.engine.task_mutations import TaskMutations
from temporal_airflow.engine.time_provider import get_current_time
from temporal_airflow.engine.xcom_store import XComStore
from temporal_airflow.models import (
    CallbackInput,
    DagExecutionInput,
    DagRunRecord,
    Deferral,
    RunListenersInput,
    TaskInstanceRecord,
    Writer,
)

NO_HISTORY = TaskHistory()

WRITTEN_AT_ONCE = 200
"""Changed rows; each of them costs a quarter of what it costs alone."""

SET_TO_FAILED = "Dag Run's state was manually set to `failed`."
"""What Airflow's API tells listeners of a run that a user ended."""


class OpenRun:
    """One DAG run on its database.

    Attributes:
        commands: of the current step, in order.
        reason: why the run ended, once it is known.
        asks_people: whether a task has ever waited for a person, so that somebody may be late.
        cancelled: whether somebody wants it to end.
        waiting_triggers: of deferred task instances, for which there was no room yet.
        holding: whether nothing more is to be started for now.
        paused: whether its DAG is: nothing more becomes ready.
        paused_anew: whether it has been told so and hasn't asked yet when that ends.
    """

    def __init__(self, execution: DagExecutionInput, dag_run: DagRun, database: RunDatabase) -> None:
        self.execution = execution
        self.dag_run = dag_run
        self.database = database
        self.session = database.session
        self.dag: SerializedDAG = dag_run.get_dag()
        self.instances = TaskInstances(dag_run, self.dag, self.session)
        self.waiting = records.Waiting()
        self._records = records.TaskInstanceRecords()
        self.xcoms = XComStore(self.session, dag_run)
        self.mutations = TaskMutations(execution.mutated)
        self.deadlines = Deadlines(execution, dag_run, self.session)
        self.growth = Growth(dag_run, self.dag, self.instances, self.session)
        self.claims = Claims(execution.shared_limits, dag_run.dag_id)
        self.queue = StartQueue(self.instances, self.dag, self.claims)
        self.assets = RunAssets(execution)
        self.inputs = AttemptInputs(execution, dag_run, self.xcoms, self.assets, self.instances)
        self.memory = TaskMemory(execution.routing)
        self.past_runs = PastRunRows(dag_run, self.session)
        self.in_flight: dict[TaskKey, InFlight] = {}
        self.commands: list[Command] = []
        self.reason: str | None = None
        self._note: str | None = dag_run.note
        self.asks_people = False
        self.cancelled = False
        self.waiting_triggers: dict[TaskKey, Deferral] = {}
        self.holding = False
        self.paused = self.paused_anew = execution.paused
        self._histories: dict[TaskKey, TaskHistory] = {}
        self._unwritten = 0

    @property
    def histories(self) -> Mapping[TaskKey, TaskHistory]:
        """What is known of task instances besides their rows, to be looked at."""
        return self._histories

    def resume(self, histories: Mapping[TaskKey, TaskHistory], in_flight: Mapping[TaskKey, InFlight]) -> None:
        """Know again what is known of task instances besides their rows."""
        self._histories, self.in_flight = dict(histories), dict(in_flight)

    @property
    def ended(self) -> bool:
        """Whether the run has its final state; something of it may still be running."""
        return self.dag_run.state in State.finished_dr_states

    @property
    def room(self) -> int:
        """How many more attempts and triggers may be out: the server refuses too many activities of one workflow."""
        return self.execution.limits.max_in_flight - len(self.in_flight)

    @property
    def queued(self) -> bool:
        """Whether the run has not started."""
        return bool(self.dag_run.state == DagRunState.QUEUED)

    def history_of(self, key: TaskKey) -> TaskHistory:
        """What is known of a task instance besides its row, to be changed: its record will be made anew."""
        self.instances.changed[key] = None
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = TaskHistory()
        return history

    def to_change(self, keys: Iterable[TaskKey]) -> list[TaskInstance]:
        """Those task instances that there are, counted as changed from now on."""
        found = [key for key in keys if key in self.instances]
        self.instances.changed |= dict.fromkeys(found)
        return [self.instances[key] for key in found]

    def take_changes(self) -> list[TaskKey]:
        """Task instances that changed since the last call; their records will be made anew."""
        self.instances.settle()
        changed, self.instances.changed = list(self.instances.changed), {}
        known = [(key, self.instances.get(key)) for key in changed]
        self.mutations.apply(ti for _, ti in known if ti is not None)
        for key, ti in known:
            self._records.put(key)
            self.claims.observe(key, ti, out=key in self.in_flight)
            self.waiting.put(key, None if ti is None else records.wakes_at(ti, self.session))
        self._unwritten += len(changed)
        return changed

    def write_rows(self) -> None:
        """Write what has changed to the database, once it is worth it; whatever asks the database does so, too."""
        if self._unwritten >= WRITTEN_AT_ONCE or self.session.new or self.ended:
            self.session.commit()
            self._unwritten = 0

    def awaited(self, key: TaskKey, try_number: int, state: TaskInstanceState) -> TaskInstance | None:
        """The task instance that something came back for; None if the run has decided over it meanwhile.

        Airflow ignores what comes back then, too.
        """
        self.in_flight.pop(key, None)
        ti = self.instances[key]
        return ti if (ti.try_number, ti.state) == (try_number, state) else None

    def is_running(self, writer: Writer) -> bool:
        """Whether an attempt is the one that runs; one that is being stopped may still tidy up."""
        key = TaskKey(writer.task_id, writer.map_index)
        flight = self.in_flight.get(key)
        return (
            flight is not None
            and flight.state == TaskInstanceState.RUNNING
            and (flight.try_number, self._histories.get(key, NO_HISTORY).attempt) == (writer.try_number, writer.attempt)
        )

    def start(self, ti: TaskInstance, now: datetime) -> int:
        """Start an attempt.

        Returns:
            About how many bytes it is given.
        """
        key = key_of(ti)
        outcomes.begin(ti, now)
        self.in_flight[key] = InFlight(ti.try_number, TaskInstanceState.RUNNING)
        attempt = self.inputs.of_task(ti, self.history_of(key), len(self.in_flight))
        if triggered := self.memory.triggered(key, ti.try_number):
            attempt = attempt.model_copy(update={"triggered_run": triggered})
        self.commands.append(StartTask(key, ti.queue, attempt, ti.priority_weight or 0))
        return self.inputs.size_of(attempt)

    def wait_for_trigger(self, ti: TaskInstance, deferral: Deferral) -> None:
        """Start the trigger of a task instance that has been deferred."""
        key = key_of(ti)
        history = self.history_of(key)
        history.next_kwargs = deferral.next_kwargs
        history.deferrals += 1
        history.trigger, history.waits_since = deferral.classpath, get_current_time()
        if self.room > 0 and not self.waiting_triggers:
            self._start_trigger(ti, deferral)
        else:
            self.waiting_triggers[key] = deferral

    def start_waiting_triggers(self) -> None:
        """Start as many of the triggers that wait for room as there is room for."""
        while self.waiting_triggers and self.room > 0:
            key = next(iter(self.waiting_triggers))
            deferral = self.waiting_triggers.pop(key)
            ti = self.instances[key]
            if ti.state == TaskInstanceState.DEFERRED:  # else somebody has decided over it meanwhile
                self._start_trigger(ti, deferral)

    def _start_trigger(self, ti: TaskInstance, deferral: Deferral) -> None:
        key = key_of(ti)
        self.in_flight[key] = InFlight(ti.try_number, TaskInstanceState.DEFERRED, deferral=deferral)
        self.commands.append(StartTrigger(key, self.inputs.of_trigger(ti, deferral)))

    def start_in_trigger(self, ti: TaskInstance) -> None:
        """Start the trigger of a task instance that Airflow has deferred without running it (``defer_task``)."""
        self.history_of(key_of(ti)).new_try()
        self.wait_for_trigger(ti, self.execution.definition.starting_triggers[ti.task_id].deferral)

    def reopen(self) -> None:
        """Go on with a run that had ended, or was about to end because somebody wanted that."""
        if not self.ended:
            self.reason, self.cancelled = None, False

    def pause(self, *, paused: bool) -> None:
        """Let nothing more become ready or start, or let it again."""
        self.paused = self.paused_anew = paused
        self.instances.touch_all()
        if paused:
            self.queue.rest()

    def stop_decided_tasks(self) -> None:
        """Stop everything whose task instance has been given another state meanwhile."""
        for key in self._in_doubt():
            flight = self.in_flight[key]
            if not flight.stopping and self.instances[key].state != flight.state:
                flight.stopping = True
                self.commands.append(StopTask(key, flight.try_number))

    def _in_doubt(self) -> list[TaskKey]:
        """What is out and may have been decided over, in the order in which it was sent out."""
        if self.instances.any_may_have_changed:
            return list(self.in_flight)
        changed = [key for key in self.instances.changed if key in self.in_flight]
        return changed if len(changed) < 2 else [key for key in self.in_flight if key in self.instances.changed]

    def run_task_callbacks(self, ti: TaskInstance, state: TaskInstanceState, message: str) -> None:
        """Run the callbacks of a task that had no process to run them in, if it has any."""
        request = lost_tasks.callback_request(ti, state, self.dag_run, self.execution.definition.bundle, message)
        if request is not None:
            self.run_callbacks(f"callbacks of {ti.task_id}", request)

    def run_stuck_callbacks(self, ti: TaskInstance, message: str) -> None:
        """Run the failure callbacks of a task that no worker took: it isn't tried again, whatever its retries."""
        request = lost_tasks.stuck_request(ti, self.dag_run, self.execution.definition.bundle, message)
        if request is not None:
            self.run_callbacks(f"callbacks of {ti.task_id}", request)

    def run_callbacks_of_failure(self, ti: TaskInstance, message: str) -> None:
        """Run what is due when a task's process ended without a word: its callbacks, then its email."""
        self.run_task_callbacks(ti, TaskInstanceState.FAILED, message)
        email = lost_tasks.email_request(ti, self.dag_run, self.execution.definition.bundle, message)
        if email is not None:
            self.run_callbacks(f"email of {ti.task_id}", email)

    def run_callbacks(self, label: str, request: lost_tasks.CallbackRequest) -> None:
        """Run the callbacks of a request."""
        callback = CallbackInput(
            run=self.execution.run,
            bundle=self.execution.definition.bundle,
            label=label,
            request=request.to_json(),
            task_queue=self.execution.task_queue,
        )
        self.commands.append(RunCallbacks(callback))

    def notify(self, msg: str) -> None:
        """Tell listeners, if there are any, of the state that the run has reached (``notify_dagrun_state_changed``)."""
        if self.dag_run.state not in self.execution.listened_states:
            return
        notice = RunListenersInput(
            run=self.execution.run,
            bundle=self.execution.definition.bundle,
            state=self.dag_run.state,
            msg=msg,
            queued_at=self.execution.queued_at,
            start_date=self.dag_run.start_date,
            end_date=self.dag_run.end_date,
            task_queue=self.execution.task_queue,
        )
        self.commands.append(NotifyListeners(notice))

    def may_begin_to_ask(self, key: TaskKey) -> bool:
        """Whether a task instance runs that hasn't been answered yet."""
        flight = self.in_flight.get(key)
        runs = flight is not None and flight.state == TaskInstanceState.RUNNING and not flight.stopping
        return runs and not self._histories.get(key, NO_HISTORY).answered

    def write_note(self, text: str, user: str) -> None:
        """Write a note on the run; an empty one is none.

        It is kept beside its row, which SQLAlchemy would look for each time somebody wants to see the run.
        """
        self.dag_run.note = (text, user) if text else None
        self._note = text or None

    def record(self, most: int | None = None) -> DagRunRecord:
        """The run as people and tasks may see it.

        Args:
            most: of its task instances, by task id and map index; None is all.
        """
        requests = sum(history.input_request is not None for history in self._histories.values())
        return DagRunRecord(
            run=self.execution.run,
            state=self.dag_run.state,
            start_date=self.dag_run.start_date,
            end_date=self.dag_run.end_date,
            reason=self.reason,
            task_instances=tuple(
                self._with_waits(record, requests) for record in self._records.first(most, self._record_of)
            ),
            deadlines=self.deadlines.records(),
            note=self._note,
            paused=self.paused,
        )

    def _record_of(self, key: TaskKey) -> TaskInstanceRecord | None:
        ti, history = self.instances.get(key), self._histories.get(key, NO_HISTORY)
        if ti is None:
            return None
        record = records.task_instance(ti, history, self.waiting.moment_of(key))
        waits_since = history.waits_since if ti.state in human_input.ANSWERABLE else None
        trigger = history.trigger if ti.state == TaskInstanceState.DEFERRED else None
        return record.model_copy(update={"waits_since": waits_since, "trigger": trigger})

    def _held_up(self, record: TaskInstanceRecord) -> dict[str, object]:
        """Why a task instance that is ready hasn't been started, as fields of its record."""
        if record.state != TaskInstanceState.SCHEDULED or self.queued:
            return {}
        ti = self.instances[TaskKey(record.task_id, record.map_index)]
        pool, slots = self.queue.awaited_pool(ti) or (None, 0)
        return {"waits_for": self.queue.why_not(ti), "awaited_pool": pool, "awaited_slots": slots}

    def _with_waits(self, record: TaskInstanceRecord, requests: int) -> TaskInstanceRecord:
        """A record with what its task waits for outside the run; its question is cut to its share of room."""
        updates: dict[str, object] = {}
        request = self._histories.get(TaskKey(record.task_id, record.map_index), NO_HISTORY).input_request
        if request is not None and record.state in human_input.ANSWERABLE:
            updates["input_request"] = human_input.shown(request, requests)
        if not self.ended:
            reason = self.past_runs.reason(record.task_id, record.state)
            updates |= {"waits_for": reason} if reason else self._held_up(record)
        return record.model_copy(update=updates) if updates else record
