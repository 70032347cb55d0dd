"""What a run as a whole waits for: its turn, the end of a pause, a moment, earlier runs; and what its time limit does.

Once nothing is left to decide, each of these is commanded once. It must not know tasks, nor what starts them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.utils.state import DagRunState

from temporal_airflow.engine import lost_tasks
from temporal_airflow.engine.events import AwaitTurn, AwaitUnpause, WakeAt, WatchPastRuns
from temporal_airflow.engine.open_run import OpenRun


class RunWaits:
    """What one run waits for."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._awaits_turn = False
        self._watched_pauses = 0

    def why_queued(self) -> str | None:
        """Why a queued run hasn't started; None if it has."""
        dag_run = self._run.dag_run
        if not self._run.queued:
            return None
        if not self._awaits_turn:
            return f"It starts at {dag_run.run_after.isoformat()}."
        limit = self._run.execution.definition.max_active_runs
        return f"DAG {dag_run.dag_id} is at (or above) max_active_runs ({limit})."

    def turn_come(self) -> None:
        """Begin a queued run, unless it was cancelled or its DAG paused meanwhile."""
        if self._run.paused:
            self._awaits_turn = False
        elif self._run.queued:
            self._run.dag_run.set_state(DagRunState.RUNNING)
            self._run.instances.touch_all()

    def queue_again(self) -> None:
        """The run had ended and is queued again: it needs another turn."""
        self._awaits_turn = False

    def unpaused(self) -> None:
        """A pause has ended; the run goes on unless it has been told of another one meanwhile."""
        self._watched_pauses -= 1
        if self._watched_pauses == 0 and not self._run.paused_anew:
            self._run.pause(paused=False)

    def check_timeout(self, now: datetime) -> None:
        """Fail a run that takes longer than ``dagrun_timeout``, as the scheduler's ``_schedule_dag_run`` does."""
        deadline = self._timeout_at()
        if deadline is None or now <= deadline or self._run.ended or self._run.paused:
            return
        callback = lost_tasks.time_out(self._run.dag_run, self._run.dag, self._run.session)
        self._run.reason = "timed_out"
        self._run.notify("timed_out")
        if callback is not None:
            self._run.run_callbacks("DAG callback (timed_out)", callback)
        self._run.stop_decided_tasks()

    def await_turn(self, now: datetime) -> None:
        """What the scheduler's ``_start_queued_dagruns`` asks of a queued run."""
        run = self._run
        if not run.queued or self._awaits_turn or run.paused:
            return
        if now < run.dag_run.run_after:
            run.commands.append(WakeAt(run.dag_run.run_after))
            return
        self._awaits_turn = True
        run.commands.append(AwaitTurn())

    def await_unpause(self) -> None:
        """A run learns that its DAG is paused when it starts, or is told; the end of the pause it has to watch for."""
        if self._run.paused_anew and not self._run.ended:
            self._run.paused_anew = False
            self._watched_pauses += 1
            self._run.commands.append(AwaitUnpause())

    def ask_for_wake(self, now: datetime) -> None:
        """Ask to be woken at the next moment at which something is due."""
        if self._run.ended:
            return
        ends: tuple[datetime | None, ...] = (self._run.waiting.next(), self._timeout_at(), self._run.deadlines.next())
        if self._run.paused:  # what has come already can do nothing until the DAG isn't paused any more
            ends = (self._run.waiting.coming(), self._run.deadlines.next())
        moments = [moment for moment in ends if moment is not None]
        if moments:
            # Airflow compares with "later than": a moment that is exactly now is not yet due
            self._run.commands.append(WakeAt(max(min(moments), now) + timedelta(milliseconds=1)))

    def ask_for_past_runs(self) -> None:
        """Ask for what is not yet known of earlier runs, if a task depends on it."""
        if self._run.ended:
            return
        question = self._run.past_runs.question()
        if question is not None:
            self._run.commands.append(WatchPastRuns(question))

    def _timeout_at(self) -> datetime | None:
        start, timeout = self._run.dag_run.start_date, self._run.dag.dagrun_timeout
        return start + timeout if start and timeout else None
