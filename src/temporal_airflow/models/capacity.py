"""What runs share, on the wire: pools and other limits across runs, and who asks for a part of them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from temporal_airflow.models.base import CompactModel, WireModel


class SharedLimits(WireModel):
    """Which limits across runs a run has to keep, read once at submit.

    Attributes:
        pools: names of the pools that are enforced.
        tasks: ``max_active_tis_per_dag`` by task.
        parallelism: most tasks that run at once in the namespace; None if that isn't limited.
    """

    pools: tuple[str, ...] = ()
    tasks: dict[str, int] = Field(default_factory=dict)
    parallelism: int | None = None


class PoolDefinition(CompactModel):
    """A pool as a user has set it.

    Attributes:
        slots: -1 is without limit.
    """

    name: str
    slots: int
    description: str = ""
    include_deferred: bool = False


class SlotHolder(CompactModel):
    """A run that asks for slots.

    Attributes:
        first_run_id: tells runs apart that have the same workflow id; it stays when a run continues as new.
        logical_date: of runs that are equally important, the earliest comes first, as under Airflow.
    """

    workflow_id: str
    first_run_id: str
    logical_date: datetime | None = None


class SlotRequest(CompactModel):
    """A task instance that waits for slots.

    Attributes:
        ticket: which request of its run it is.
        weight: its priority weight.
    """

    ticket: int
    task_id: str
    map_index: int = -1
    slots: int = 1
    weight: int = 1


class HeldSlots(CompactModel):
    """Slots that a task instance has already.

    Attributes:
        deferred: whether it waits for a trigger, so that they count only if the pool includes deferred tasks.
    """

    ticket: int
    slots: int = 1
    deferred: bool = False


class SlotMessage(CompactModel):
    """What a run tells a pool in one go.

    Attributes:
        number: greater than those of earlier messages of the run; it may come late, or twice.
        length: events in the run's history when it was written.
        holds: slots that the run has; those that the pool doesn't know of are counted from now on.
        returns: tickets of requests that are withdrawn, and of slots that are free again.
        size: of a limit that isn't set by a user but comes with the DAG or the configuration.
        everything: whether the run has and wants nothing but what it says here.
        anew: whether it may never hear of what it was granted by now.
    """

    holder: SlotHolder
    number: int = 0
    length: int = 0
    requests: tuple[SlotRequest, ...] = ()
    holds: tuple[HeldSlots, ...] = ()
    returns: tuple[int, ...] = ()
    size: int | None = None
    everything: bool = False
    anew: bool = False


class SlotGrant(CompactModel):
    """What a pool tells a run: it may use the slots that it has asked for with these tickets.

    Without tickets it is a question: whether the pool has missed anything.

    Attributes:
        keeper: id of the pool's workflow.
        heard: number of the latest message of the run that the pool has heard.
        pause: seconds for which the next message may wait for those of other runs.
    """

    keeper: str
    first_run_id: str
    tickets: tuple[int, ...]
    heard: int = 0
    pause: float = 0.0


class PoolStats(WireModel):
    """How a pool is used, as Airflow's ``Pool.slots_stats`` counts.

    Attributes:
        running: slots of tasks that run or are about to.
        deferred: slots of tasks that wait for a trigger.
        open: less than 0 where a pool was made smaller than what is used; None is without limit.
        waiting: slots that are asked for.
    """

    running: int = 0
    deferred: int = 0
    open: int | None = None
    waiting: int = 0


class HolderState(CompactModel):
    """What a pool knows of a run.

    Attributes:
        number: of the latest message.
        length: of the run's history, as far as what came after is known to say nothing.
        arrivals: of the requests, for the order among equals.
    """

    holder: SlotHolder
    number: int = 0
    length: int = 0
    holds: tuple[HeldSlots, ...] = ()
    requests: tuple[SlotRequest, ...] = ()
    arrivals: tuple[int, ...] = ()


class PoolState(WireModel):
    """Input of the workflow ``keep_airflow_pool``: everything it knows.

    Attributes:
        deleted: whether it gives no slots, and ends as soon as none is used or asked for.
        arrivals: how many requests there have been.
        lease: seconds between two looks whether silent runs are still open.
        messages_per_run: after so many it continues as new.
    """

    definition: PoolDefinition
    deleted: bool = False
    holders: tuple[HolderState, ...] = ()
    arrivals: int = 0
    lease: float = 10.0
    messages_per_run: int = 2000


class HoldersInput(WireModel):
    """Input of the activity that looks at runs: which are still open, and how long their histories are."""

    holders: tuple[SlotHolder, ...]
