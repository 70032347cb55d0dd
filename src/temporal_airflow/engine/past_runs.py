"""Earlier runs of the DAG as rows beside those of the run, so that Airflow's own ``PrevDagrunDep`` finds them.

The run asks for them before it decides anything, and for news of them while they hold a task up. Airflow decides by
them: which run is the previous one, and whether it lets a task start. This must not decide that, nor know who answers.
"""

from __future__ import annotations

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.dependencies_states import SCHEDULEABLE_STATES
from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
from sqlalchemy import delete
from sqlalchemy.orm import Session

from temporal_airflow.models import KeptPast, PastRun, PastRuns, PastRunsQuestion

NOT_KNOWN = "the run before is being looked up"


class PastRunRows:
    """What is known of earlier runs.

    Attributes:
        holding_up: why an earlier run lets a task not start, in Airflow's words, by task id.
    """

    def __init__(self, dag_run: DagRun, session: Session) -> None:
        self._dag_run = dag_run
        self._dag: SerializedDAG = dag_run.get_dag()
        self._session = session
        self._known: PastRuns | None = None
        self._asked = False
        depending = [task.task_id for task in self._dag.tasks if task.depends_on_past]
        self._depending = sorted(depending) if dag_run.logical_date else []
        self.holding_up: dict[str, str] = dict.fromkeys(self._depending, NOT_KNOWN)

    @property
    def undecided(self) -> bool:
        """Whether nothing may be decided yet, because an earlier run may count that isn't known."""
        return bool(self._depending) and self._known is None

    def kept(self) -> KeptPast:
        """What there is to know besides rows."""
        return KeptPast(known=self._known, holding_up=self.holding_up)

    def resume(self, kept: KeptPast) -> None:
        """Know it again."""
        self._known, self.holding_up = kept.known, dict(kept.holding_up)

    def question(self) -> PastRunsQuestion | None:
        """What to ask now; None if nothing depends on the answer, or it is on its way."""
        if self._asked or not (self.undecided or self._holds_up_any()):
            return None
        self._asked = True
        assert self._dag_run.logical_date is not None, "else nothing depends on the past"
        tasks = [self._dag.get_task(task_id) for task_id in self._depending]
        following = {name for task in tasks if task.wait_for_downstream for name in task.downstream_task_ids}
        return PastRunsQuestion(
            dag_id=self._dag_run.dag_id,
            run_id=self._dag_run.run_id,
            logical_date=self._dag_run.logical_date,
            task_ids=tuple(sorted({*self._depending, *following})),
            maybe_new_task_ids=tuple(task.task_id for task in tasks if task.ignore_first_depends_on_past),
            known=self._known,
        )

    def take(self, answer: PastRuns | None) -> None:
        """Put earlier runs in the place of those known before.

        Args:
            answer: None if there was none; the question is asked again.
        """
        self._asked = False
        if answer is None:
            return
        self._known = answer
        self._session.execute(delete(TaskInstance).where(TaskInstance.run_id != self._dag_run.run_id))
        self._session.execute(delete(DagRun).where(DagRun.run_id != self._dag_run.run_id))
        for run in answer.runs:
            self._add(run)
        self._session.flush()
        self.holding_up = self._ask_airflow()

    def reason(self, task_id: str, state: str | None) -> str | None:
        """Why an earlier run lets a task instance not start; None if none does, or it has been decided over."""
        return self.holding_up.get(task_id) if state in SCHEDULEABLE_STATES else None

    def _holds_up_any(self) -> bool:
        return bool(self.holding_up) and any(self.reason(ti.task_id, ti.state) for ti in self._own_task_instances())

    def _own_task_instances(self) -> list[TaskInstance]:
        task_instances: list[TaskInstance] = self._dag_run.get_task_instances(session=self._session)
        return task_instances

    def _add(self, run: PastRun) -> None:
        self._session.add(
            DagRun(
                dag_id=self._dag_run.dag_id,
                run_id=run.run_id,
                logical_date=run.logical_date,
                run_after=run.logical_date,
                run_type=run.run_type,
                state=run.state,
            )
        )
        self._session.flush()
        for each in run.task_instances:
            task = self._dag.get_task(each.task_id)
            version = self._dag_run.created_dag_version_id
            self._session.add(TaskInstance(task, version, run.run_id, each.state, each.map_index))

    def _ask_airflow(self) -> dict[str, str]:
        """What Airflow's dependency says of each task that has it: it is the same for all instances of a task."""
        one_of_each = {ti.task_id: ti for ti in self._own_task_instances() if ti.task_id in self._depending}
        reasons = {}
        for task_id, ti in sorted(one_of_each.items()):
            ti.task = self._dag.get_task(task_id)
            statuses = PrevDagrunDep().get_dep_statuses(ti, DepContext(), session=self._session)
            failing = [status.reason for status in statuses if not status.passed]
            if failing:
                reasons[task_id] = failing[0]
        return reasons
