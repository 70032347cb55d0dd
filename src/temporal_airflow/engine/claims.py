"""A run's claims on what runs share: slots of pools, and places under limits across runs.

A task instance that needs several gets one after the other, always in the same order, so that no two wait for each
other. Each request has a ticket of its own, so that an answer to what was withdrawn meanwhile is told apart. It must
not decide which task instance comes first, nor what any of them needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState

from temporal_airflow.engine.events import AskForSlots, TaskKey
from temporal_airflow.engine.needs import PARKED, Need, Needs
from temporal_airflow.engine.task_instances import TaskInstances
from temporal_airflow.models import HeldSlots, KeptClaim, SharedLimits, SlotRequest

FEW = 16
"""Claims of a run that says all of them each time it says anything."""

AT_WORK = (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING)


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
    withdraws: bool = False


class Claims:
    """The claims of one run."""

    def __init__(self, limits: SharedLimits | None, dag_id: str) -> None:
        self._needs = Needs(limits or SharedLimits(), dag_id)
        self._claims: dict[TaskKey, Claim] = {}
        self._asking: dict[int, TaskKey] = {}
        self._outgoing: dict[str, Outgoing] = {}
        self._tickets = 0
        self._any = limits is not None

    def missing(self, key: TaskKey, ti: TaskInstance) -> Need | None:
        """What a task instance has to get next before it may start; None if it has everything."""
        if not self._any:
            return None
        held = self._claims[key].held if key in self._claims else {}
        return next((need for need in self._needs.of(ti) if need.keeper not in held), None)

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
        self._give_back(keeper, ticket, used=False)
        if not claim.held:
            del self._claims[key]

    def take(self, keeper: str, tickets: Iterable[int]) -> list[TaskKey]:
        """Take what was granted, and give back what isn't asked for: it was withdrawn meanwhile, or never meant.

        Returns:
            The task instances that got something.
        """
        got = []
        for ticket in tickets:
            key = self._asking.pop(ticket, None)
            if key is None:
                if not self._holds(keeper, ticket):
                    self._give_back(keeper, ticket, used=False)
                continue
            claim = self._claims[key]
            assert claim.asks is not None, "a ticket that is asked for is in its claim"
            claim.held[claim.asks[0]], claim.asks = ticket, None
            got.append(key)
        return got

    def release(self, key: TaskKey, *, used: bool = False) -> None:
        """Give back everything, and ask for nothing any more.

        Args:
            key: of the task instance.
            used: whether it has begun with what it has, and come to an end.
        """
        claim = self._claims.pop(key, None)
        if claim is None:
            return
        for keeper, ticket in claim.held.items():
            self._give_back(keeper, ticket, used=used)
        if claim.asks:
            self._give_back(*claim.asks, used=False)

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
            self.release(key, used=not out)  # another start, so it waits for its turn again
        elif state != TaskInstanceState.SCHEDULED and not (out and claim.started):
            self.release(key, used=claim.started)

    def commands(self, instances: TaskInstances) -> list[AskForSlots]:
        """What keepers are to be told, each of them in one go: as long as it is little, everything.

        Args:
            instances: the run's.
        """
        outgoing, self._outgoing = self._outgoing, {}
        return [
            self._command(keeper, out, instances)
            for keeper, out in outgoing.items()
            if out.requests or out.holds or out.returns
        ]

    def _command(self, keeper: str, out: Outgoing, instances: TaskInstances) -> AskForSlots:
        if len(self._claims) <= FEW:
            said = self.statement(keeper, instances)
        else:
            said = AskForSlots(
                keeper, tuple(out.requests.values()), tuple(out.holds.values()), size=self._needs.size_of(keeper)
            )
        return replace(said, returns=tuple(out.returns), anew=False, withdraws=out.withdraws)

    def statement(self, keeper: str, instances: TaskInstances) -> AskForSlots:
        """Everything that a keeper would have to know if it knew nothing.

        Args:
            keeper: id of the workflow that keeps a limit.
            instances: the run's.
        """
        requests, holds = [], []
        for key, claim in self._claims.items():
            need = next((need for need in self._needs.of(instances[key]) if need.keeper == keeper), None)
            if need is None:
                continue
            if claim.asks and claim.asks[0] == keeper:
                requests.append(_request(claim.asks[1], key, instances[key], need))
            elif keeper in claim.held:
                holds.append(_held(claim, need))
        return AskForSlots(
            keeper, tuple(requests), tuple(holds), size=self._needs.size_of(keeper), everything=True, anew=True
        )

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
        for need in self._needs.of(ti):
            ticket = claim.held.get(need.keeper)
            if state not in need.kept_in:
                if ticket is not None:
                    del claim.held[need.keeper]
                    self._give_back(need.keeper, ticket, used=True)
            else:
                self._hold(claim, need)
        if not claim.held:
            del self._claims[key]

    def _hold(self, claim: Claim, need: Need) -> None:
        """Have slots counted without asking: Airflow counts who waits, however it came to wait."""
        if need.keeper not in claim.held:
            self._tickets += 1
            claim.held[need.keeper] = self._tickets
        elif not need.is_of_pool:
            return  # only pools count in another way what waits for a trigger
        held = _held(claim, need)
        self._out(need.keeper).holds[held.ticket] = held

    def _give_back(self, keeper: str, ticket: int, *, used: bool) -> None:
        """Give back a slot, or ask for it no longer.

        Args:
            keeper: of the slot.
            ticket: that it has, or is asked for with.
            used: whether a task has had it and has come to an end, so that nothing can make it be used once more.
        """
        self._asking.pop(ticket, None)
        out = self._out(keeper)
        out.holds.pop(ticket, None)
        if out.requests.pop(ticket, None) is None:
            out.returns.append(ticket)
            out.withdraws |= not used

    def _holds(self, keeper: str, ticket: int) -> bool:
        return any(claim.held.get(keeper) == ticket for claim in self._claims.values())

    def _out(self, keeper: str) -> Outgoing:
        return self._outgoing.setdefault(keeper, Outgoing())


def _held(claim: Claim, need: Need) -> HeldSlots:
    deferred = claim.deferred and need.is_of_pool
    return HeldSlots(ticket=claim.held[need.keeper], slots=need.slots, deferred=deferred)


def _request(ticket: int, key: TaskKey, ti: TaskInstance, need: Need) -> SlotRequest:
    return SlotRequest(
        ticket=ticket,
        task_id=key.task_id,
        map_index=key.map_index,
        slots=need.slots,
        weight=ti.priority_weight or 0,
    )
