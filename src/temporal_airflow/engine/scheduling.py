"""Lets Airflow look at what may have become ready, and starts what may start: a bounded part of it in each step.

Whatever is left makes another step necessary. It must not know what happened to the run, nor what commands lead to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.engine import outcomes
from temporal_airflow.engine.allowance import Allowance
from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.frontier import Frontier
from temporal_airflow.engine.open_run import SET_TO_FAILED, OpenRun

IN_PROGRESS = State.unfinished - {None}


class Scheduling:
    """What Airflow's scheduler does for one run.

    Attributes:
        frontier: what of the run is to be looked at.
    """

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self.frontier = Frontier(run.dag_run, run.dag, run.instances, run.growth, run.session)
        self._saw_due = False
        self.frontier.take(run.take_changes())

    @property
    def amid_round(self) -> bool:
        """Whether rows are missing, or a round of evaluations has begun that isn't over: events have to wait."""
        return bool(self._run.growth.missing) or self.frontier.amid_round

    def take_changes(self) -> None:
        """Take note of everything that has changed until now."""
        self.frontier.take(self._run.take_changes())

    def advance(self, now: datetime, allowance: Allowance) -> bool:
        """Decide what is to be decided and start what may start, as far as the step goes.

        Args:
            now: workflow time.
            allowance: of the step.

        Returns:
            Whether nothing is left for another step.
        """
        if not self._run.growth.advance(allowance):
            return False
        if not self._saw_due:  # once: those that are due but can't start would use up the allowance of every step
            self._saw_due = True
            self.frontier.take_due(self._run.waiting.due(now))
        if not (self._decide(now, allowance) and self._start_ready(now, allowance)):
            return False
        self._saw_due = False
        return True

    def _decide(self, now: datetime, allowance: Allowance) -> bool:
        """Let Airflow look at what may have become ready, until nothing changes any more."""
        run = self._run
        while not (run.ended or run.queued or run.past_runs.undecided):
            self.take_changes()
            if self.frontier.has_candidates:
                if allowance.used_up:
                    return False
                self._set_scheduled(self.frontier.ready(allowance), now)
                if not run.growth.advance(allowance):
                    return False
            elif self._in_progress() or not self._settle(now):
                break
        self.take_changes()
        return True

    def _settle(self, now: datetime) -> bool:
        """Airflow's full pass, when nothing is in progress: ends the run, or finds why not.

        Returns:
            Whether it changed anything.
        """
        run = self._run
        ready, callback = run.dag_run.update_state(session=run.session, execute_callbacks=False)
        self._finish_run(callback)
        self._set_scheduled(ready, now)
        run.session.flush()
        run.instances.settle()
        return bool(run.instances.changed)

    def _set_scheduled(self, ready: Sequence[TaskInstance], now: datetime) -> None:
        """Let task instances that are ready wait for their start; empty tasks succeed, some begin in their trigger."""
        run = self._run
        if run.paused:  # Airflow looks, too, so that a run can end, but readies nothing
            return
        for ti in ready:
            outcomes.schedule(ti, now, run.session)
            run.instances.changed[key_of(ti)] = None
        for ti in sorted((ti for ti in ready if ti.state == TaskInstanceState.DEFERRED), key=key_of):
            run.start_in_trigger(ti)

    def _in_progress(self) -> bool:
        """Whether a task instance runs, waits its turn, or waits for something that will come."""
        return next(self._run.instances.in_state(*IN_PROGRESS), None) is not None

    def _finish_run(self, callback: DagCallbackRequest | None) -> None:
        run = self._run
        if run.cancelled and run.dag_run.state == DagRunState.SUCCESS:
            run.dag_run.set_state(DagRunState.FAILED)  # a cancelled run whose teardowns succeeded is still cancelled
        if not run.ended:
            return
        if run.cancelled:
            run.notify(SET_TO_FAILED)
            return
        if run.dag_run.state == DagRunState.FAILED:
            stuck = any(ti.state is None or ti.state in State.unfinished for ti in run.instances)
            run.reason = "all_tasks_deadlocked" if stuck else "task_failure"
        run.notify(run.reason or "success")
        if callback is not None:
            run.run_callbacks(f"DAG callback ({callback.msg})", callback)

    def _start_ready(self, now: datetime, allowance: Allowance) -> bool:
        """Start what the run's limits leave room for."""
        run = self._run
        if run.ended or run.holding or run.paused:
            return True
        run.start_waiting_triggers()
        startable = run.queue.take(min(run.room, max(allowance.work, 0) + 1))
        for number, ti in enumerate(startable):
            if allowance.used_up:
                run.queue.put_back(startable[number:])
                return False
            if key_of(ti) in run.in_flight or not run.assets.may_start(ti):
                run.queue.put_back([ti])  # the trigger that it waited in is being stopped, or its assets aren't ready
                continue
            if ti.next_method is None:
                run.history_of(key_of(ti)).new_try()
            allowance.spend(size=run.start(ti, now))
        run.instances.settle()
        run.queue.ask()
        return True
