"""Which runs are wanted, in the words of Temporal's list filters.

Runs that were started without search attributes are found, too, where others are told apart by them: what the server
can't tell of these, whoever lists them has to. It must not know how lists are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow.utils.state import DagRunState

from temporal_airflow.identifiers import DAG_ID_ATTRIBUTE, RUN_STATE_ATTRIBUTE, WORKFLOW_TYPE, workflow_id

OPEN = "Running"
"""The state of open runs, in Temporal's words."""

LISTED_WITHIN = timedelta(minutes=1)
"""How soon the server lists a new execution; until then the one before it stands for the run."""

ENDED_FROM_OUTSIDE = 'ExecutionStatus IN ("Terminated", "TimedOut", "Canceled", "Failed")'
"""Such a run has failed, whatever it said last of its state."""


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted.

    Attributes:
        dag_id: only those of this DAG.
        status: only those whose workflow is so, in Temporal's words.
        states: only those in one of these states; none means all.
        since: only those that were started then or later.
    """

    dag_id: str | None = None
    status: str | None = None
    states: frozenset[DagRunState] = frozenset()
    since: datetime | None = None

    def query(self, *, by_attributes: bool = False) -> str:
        """A list filter that leaves out none of them; the server needn't be able to tell them from all others.

        Args:
            by_attributes: whether the namespace has our search attributes.
        """
        lately = (datetime.now(UTC) - LISTED_WITHIN).isoformat()
        wanted = 'ExecutionStatus != "ContinuedAsNew"'
        if self.status == OPEN:  # one that ended may have been opened again: its latest execution tells
            wanted = f'ExecutionStatus = "{OPEN}"'
        if by_attributes and self.states:
            wanted += f" AND ({' OR '.join(_in_state(state) for state in sorted(self.states))})"
        going_on = f'ExecutionStatus = "ContinuedAsNew" AND CloseTime > "{lately}"'
        parts = [f'WorkflowType = "{WORKFLOW_TYPE}"', f"(({wanted}) OR ({going_on}))"]
        if self.dag_id is not None:
            parts.append(_of_dag(self.dag_id, by_attributes=by_attributes))
        if self.since is not None:
            parts.append(f'StartTime >= "{self.since.isoformat()}"')
        return " AND ".join(parts)


def _of_dag(dag_id: str, *, by_attributes: bool) -> str:
    """Of a DAG; without attributes also of DAGs whose id only begins so: the memo tells them apart."""
    named = f"WorkflowId STARTS_WITH {_quoted(workflow_id(dag_id, ''))}"
    if not by_attributes:
        return named
    return f"({DAG_ID_ATTRIBUTE} = {_quoted(dag_id)} OR ({DAG_ID_ATTRIBUTE} IS NULL AND {named}))"


def _in_state(state: DagRunState) -> str:
    said = f'({RUN_STATE_ATTRIBUTE} = "{state.value}" OR {RUN_STATE_ATTRIBUTE} IS NULL)'
    match state:
        case DagRunState.FAILED:
            return f"{said} OR {ENDED_FROM_OUTSIDE}"
        case DagRunState.SUCCESS:
            return said
        case DagRunState.QUEUED | DagRunState.RUNNING:
            return f'{said} AND ExecutionStatus = "Running"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
