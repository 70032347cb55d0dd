"""A run's claims on what runs share: slots of pools, and places under limits across runs.

A task instance that needs several gets one after the other, always in the same order, so that no two wait for each
other. Each request has a ticket of its own, so that an answer to what was withdrawn meanwhile is told apart. It must
not decide which task instance comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AskForSlots, TaskKey
from temporal_airflow.engine.task_instances import TaskInstances
from temporal_airflow.models import HeldSlots, KeptClaim, SharedLimits, SlotRequest

PARKED = (TaskInstanceState.DEFERRED, TaskInstanceState.AWAITING_INPUT)
AT_WORK = (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING)


class Need(NamedTuple):
    """Slots of one limit that a task instance needs to start.

    Attributes:
        keeper: id of the workflow that keeps the limit.
        kept_in: states of waiting in which it needs them still, beside running (Airflow counts them differently).
        size: of the limit, if no user has set it.
    """

    keeper: str
    slots: int
    kept_in: tuple[TaskInstanceState, ...]
    size: int | None = None


@dataclass
class Claim:
    """What one task instance has and wants.

    Attributes:
        held: tickets by keeper.
        asks: of which keeper it asks for slots, and the ticket.
        started: whether it has begun with what it holds.
        deferred: whether it waits for a trigger.
    """

    held: dict[str, int] = field(default_factory=dict)
    asks: tuple[str, int] | None = None
    started: bool = False
    deferred: bool = False


@dataclass
class Outgoing:
    """What a keeper isn't told yet."""

    requests: dict[int, SlotRequest] = field(default_factory=dict)
    holds: dict[int, HeldSlots] = field(default_factory=dict)
    returns: list[int] = field(default_factory=list)


class Claims:
    """The claims of one run."""

    def __init__(self, limits: SharedLimits | None, dag_id: str) -> None:
        self._limits = limits or SharedLimits()
        self._dag_id = dag_id
        self._claims: dict[TaskKey, Claim] = {}
        self._asking: dict[int, TaskKey] = {}
        self._outgoing: dict[str, Outgoing] = {}
        self._tickets = 0
        self._any = limits is not None

    def needs(self, ti: TaskInstance) -> Sequence[Need]:
        """What a task instance needs to start, in the order in which it is asked for."""
        return tuple(self._needs(ti)) if self._any else ()

    def _needs(self, ti: TaskInstance) -> Iterator[Need]:
        limits = self._limits
        if (size := limits.tasks.get(ti.task_id)) is not None:
            yield Need(identifiers.task_limit_workflow_id(self._dag_id, ti.task_id), 1, PARKED, size)
        if ti.pool in limits.pools:
            yield Need(identifiers.pool_workflow_id(ti.pool), ti.pool_slots, (TaskInstanceState.DEFERRED,))
        if limits.parallelism is not None:
            yield Need(identifiers.PARALLELISM_WORKFLOW_ID, 1, (), limits.parallelism)

    def missing(self, key: TaskKey, ti: TaskInstance) -> Need | None:
        """What a task instance has to get next before it may start; None if it has everything."""
        if not self._any:
            return None
        held = self._claims[key].held if key in self._claims else {}
        return next((need for need in self._needs(ti) if need.keeper not in held), None)

    def is_asking(self, key: TaskKey) -> bool:
        """Whether slots are asked for a task instance at the moment."""
        claim = self._claims.get(key)
        return claim is not None and claim.asks is not None

    def asks_of(self, key: TaskKey, keeper: str) -> bool:
        """Whether slots of one keeper are asked for a task instance at the moment."""
        claim = self._claims.get(key)
        return claim is not None and claim.asks is not None and claim.asks[0] == keeper

    def waiting_to_start(self) -> list[TaskKey]:
        """Task instances that hold everything and haven't started; some may be held up by the run itself."""
        return [key for key, claim in self._claims.items() if claim.held and not (claim.asks or claim.started)]

    def ask(self, key: TaskKey, ti: TaskInstance, need: Need) -> None:
        """Ask for slots."""
        self._tickets += 1
        claim = self._claims.setdefault(key, Claim())
        claim.asks = (need.keeper, self._tickets)
        self._asking[self._tickets] = key
        self._out(need.keeper).requests[self._tickets] = _request(self._tickets, key, ti, need)

    def withdraw(self, key: TaskKey) -> None:
        """Ask no longer for slots; what is held already stays."""
        claim = self._claims.get(key)
        if claim is None or claim.asks is None:
            return
        keeper, ticket = claim.asks
        claim.asks = None
        self._give_back(keeper, ticket)
        if not claim.held:
            del self._claims[key]

    def take(self, tickets: Iterable[int]) -> list[TaskKey]:
        """Take what was granted.

        Returns:
            The task instances that got something; what was withdrawn meanwhile has been given back already.
        """
        got = []
        for ticket in tickets:
            key = self._asking.pop(ticket, None)
            if key is None:
                continue
            claim = self._claims[key]
            assert claim.asks is not None, "a ticket that is asked for is in its claim"
            claim.held[claim.asks[0]], claim.asks = ticket, None
            got.append(key)
        return got

    def release(self, key: TaskKey) -> None:
        """Give back everything, and ask for nothing any more."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return
        for keeper, ticket in (*claim.held.items(), *([claim.asks] if claim.asks else [])):
            self._give_back(keeper, ticket)

    def observe(self, key: TaskKey, ti: TaskInstance | None, *, out: bool) -> None:
        """Take note of the state that a task instance has come to.

        Args:
            key: of the task instance.
            ti: it; None if there is none any more.
            out: whether a process, or a trigger, is out for it.
        """
        if not self._any:
            return
        state = ti.state if ti is not None else None
        claim = self._claims.get(key)
        if ti is not None and state in PARKED:
            self._park(key, ti)
        elif claim is None:
            pass
        elif state in AT_WORK:
            claim.started = True
        elif claim.started and state == TaskInstanceState.SCHEDULED:
            self.release(key)  # another start, so it waits for its turn again
        elif state != TaskInstanceState.SCHEDULED and not (out and claim.started):
            self.release(key)

    def commands(self) -> list[AskForSlots]:
        """What keepers are to be told, each of them in one go."""
        outgoing, self._outgoing = self._outgoing, {}
        return [
            AskForSlots(
                keeper,
                tuple(out.requests.values()),
                tuple(out.holds.values()),
                tuple(out.returns),
                self._size_of(keeper),
            )
            for keeper, out in outgoing.items()
            if out.requests or out.holds or out.returns
        ]

    def statement(self, keeper: str, instances: TaskInstances) -> AskForSlots:
        """Everything that a keeper would have to know if it knew nothing.

        Args:
            keeper: id of the workflow that keeps a limit.
            instances: the run's.
        """
        requests, holds = [], []
        for key, claim in self._claims.items():
            need = next((need for need in self._needs(instances[key]) if need.keeper == keeper), None)
            if need is None:
                continue
            if claim.asks and claim.asks[0] == keeper:
                requests.append(_request(claim.asks[1], key, instances[key], need))
            elif keeper in claim.held:
                holds.append(HeldSlots(ticket=claim.held[keeper], slots=need.slots, deferred=claim.deferred))
        return AskForSlots(keeper, tuple(requests), tuple(holds), size=self._size_of(keeper), everything=True)

    def keepers(self) -> list[str]:
        """Who keeps something for this run."""
        found = dict.fromkeys(keeper for claim in self._claims.values() for keeper in claim.held)
        return list(found | dict.fromkeys(claim.asks[0] for claim in self._claims.values() if claim.asks))

    def kept(self) -> tuple[tuple[KeptClaim, ...], int]:
        """As a part of a snapshot: the claims, and how many tickets there have been."""
        claims = tuple(KeptClaim(**key._asdict(), **vars(claim)) for key, claim in self._claims.items())
        return claims, self._tickets

    def resume(self, claims: Iterable[KeptClaim], tickets: int) -> None:
        """Out of a snapshot."""
        self._tickets = tickets
        for kept in claims:
            key = TaskKey(kept.task_id, kept.map_index)
            self._claims[key] = Claim(dict(kept.held), kept.asks, kept.started, kept.deferred)
            if kept.asks is not None:
                self._asking[kept.asks[1]] = key

    def _park(self, key: TaskKey, ti: TaskInstance) -> None:
        """A task instance waits and needs no process: it keeps what Airflow counts then, too."""
        state = ti.state
        claim = self._claims.setdefault(key, Claim())
        if claim.deferred and state == TaskInstanceState.DEFERRED:
            return  # nothing new
        claim.started, claim.deferred = True, state == TaskInstanceState.DEFERRED
        for need in self._needs(ti):
            ticket = claim.held.get(need.keeper)
            if state not in need.kept_in:
                if ticket is not None:
                    del claim.held[need.keeper]
                    self._give_back(need.keeper, ticket)
            else:
                self._hold(claim, need)
        if not claim.held:
            del self._claims[key]

    def _hold(self, claim: Claim, need: Need) -> None:
        """Have slots counted without asking: Airflow counts who waits, however it came to wait."""
        is_pool = need.kept_in == (TaskInstanceState.DEFERRED,)
        if need.keeper not in claim.held:
            self._tickets += 1
            claim.held[need.keeper] = self._tickets
        elif not is_pool:
            return  # only pools count in another way what waits for a trigger
        ticket, deferred = claim.held[need.keeper], claim.deferred and is_pool
        self._out(need.keeper).holds[ticket] = HeldSlots(ticket=ticket, slots=need.slots, deferred=deferred)

    def _give_back(self, keeper: str, ticket: int) -> None:
        self._asking.pop(ticket, None)
        out = self._out(keeper)
        out.holds.pop(ticket, None)
        if out.requests.pop(ticket, None) is None:
            out.returns.append(ticket)

    def _out(self, keeper: str) -> Outgoing:
        return self._outgoing.setdefault(keeper, Outgoing())

    def _size_of(self, keeper: str) -> int | None:
        if keeper == identifiers.PARALLELISM_WORKFLOW_ID:
            return self._limits.parallelism
        sizes = {
            identifiers.task_limit_workflow_id(self._dag_id, task_id): size
            for task_id, size in self._limits.tasks.items()
        }
        return sizes.get(keeper)


def why_waiting(need: Need, ti: TaskInstance) -> str:
    """Why a task instance waits for something shared, as Airflow's dependency says it but for the numbers."""
    if need.keeper == identifiers.PARALLELISM_WORKFLOW_ID:
        return f"The parallelism of {need.size} in this namespace has been reached."
    if need.size is not None:
        return "The max task concurrency has been reached."
    return f"Not scheduling since there are not enough open slots in pool {ti.pool} and require {need.slots} pool slots"


def _request(ticket: int, key: TaskKey, ti: TaskInstance, need: Need) -> SlotRequest:
    return SlotRequest(
        ticket=ticket,
        task_id=key.task_id,
        map_index=key.map_index,
        slots=need.slots,
        weight=ti.priority_weight or 0,
    )
