"""Who has slots of a pool, who waits for them, and who is next.

The order is that of Airflow's scheduler: priority weight, logical date, map index, then first come. What needs more
slots than are open is passed over, as it is there. Counted is as ``Pool.slots_stats`` counts. It must not know how runs
are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from temporal_airflow.models import (
    HeldSlots,
    HolderState,
    PoolDefinition,
    PoolState,
    PoolStats,
    SlotHolder,
    SlotMessage,
    SlotRequest,
)

UNLIMITED = -1

A_GRANT = 2
"""Events by which a grant lets a run's history grow though it has nothing to say: the grant, and a task's start."""

A_QUESTION = 3
"""Those of a question, up to the workflow task in which the run takes note of it."""

A_STEP = 5
"""Those between two messages at least: the end of the workflow task that has sent the one, what wakes the run, and
three of another workflow task."""


class HolderKey(NamedTuple):
    """A run, however often it continues as new."""

    workflow_id: str
    first_run_id: str


class Turn(NamedTuple):
    """A request's place among all, next first; PostgreSQL puts runs without logical date last."""

    weight: int
    undated: bool
    timestamp: float
    map_index: int
    arrival: int


@dataclass
class Account:
    """What one run has and wants.

    Attributes:
        number: of its latest message.
        length: of its history, as far as what came after is known to say nothing.
        requests: with their turn, by ticket.
    """

    holder: SlotHolder
    number: int = 0
    length: int = 0
    holds: dict[int, HeldSlots] = field(default_factory=dict)
    requests: dict[int, tuple[Turn, SlotRequest]] = field(default_factory=dict)


class SlotBook:
    """The slots of one pool."""

    def __init__(self, state: PoolState) -> None:
        self.definition: PoolDefinition = state.definition
        self.deleted = state.deleted
        self._accounts: dict[HolderKey, Account] = {}
        self._queue: list[tuple[Turn, HolderKey, int]] = []
        self._wanted: Counter[int] = Counter()
        self._running = self._deferred = 0
        self._arrivals = state.arrivals
        self._repeated: dict[HolderKey, list[int]] = {}
        for known in state.holders:
            account = self._account(known.holder)
            account.number, account.length = known.number, known.length
            for held in known.holds:
                self._hold(account, held)
            for request, arrival in zip(known.requests, known.arrivals, strict=True):
                self._enter(account, request, arrival)

    @property
    def in_use(self) -> bool:
        """Whether anybody has slots or wants some."""
        return bool(self._accounts)

    @property
    def open(self) -> int | None:
        """Slots that nobody has; less than 0 if the pool was made smaller; None is without limit."""
        if self.deleted:
            return 0
        if self.definition.slots == UNLIMITED:
            return None
        return self.definition.slots - self._running - (self._deferred if self.definition.include_deferred else 0)

    def stats(self) -> PoolStats:
        """How the pool is used."""
        waiting = sum(slots * count for slots, count in self._wanted.items())
        return PoolStats(running=self._running, deferred=self._deferred, open=self.open, waiting=waiting)

    def define(self, definition: PoolDefinition) -> None:
        """Set the pool anew; what is used beyond its size drains."""
        self.definition, self.deleted = definition, False

    def delete(self) -> None:
        """Give no slots any more."""
        self.deleted = True

    def take(self, message: SlotMessage) -> None:
        """Note what a run says; saying it again changes nothing, nor does saying it late."""
        account = self._account(message.holder)
        if message.number < account.number:
            return
        if message.size is not None and message.size != self.definition.slots:
            self.define(self.definition.model_copy(update={"slots": message.size}))
        account.number, account.length = message.number, message.length
        for ticket in (*message.returns, *(_unsaid(account, message) if message.everything else ())):
            self._forget(account, ticket)
        for held in message.holds:
            self._forget(account, held.ticket)
            self._hold(account, held)
        for request in message.requests:
            self._want(account, request, again=message.anew)
        self._close_if_empty(account)

    def _want(self, account: Account, request: SlotRequest, *, again: bool) -> None:
        """Note a request.

        Args:
            account: of its run.
            request: that may be known, and granted by now; a lost workflow task may have made another one.
            again: whether to say again that it was granted.
        """
        ticket = request.ticket
        if ticket in account.holds and account.holds[ticket].slots == request.slots:
            if again:
                self._repeated.setdefault(key_of(account.holder), []).append(ticket)
        elif ticket not in account.requests or account.requests[ticket][1] != request:
            self._forget(account, ticket)
            self._arrivals += 1
            self._enter(account, request, self._arrivals)

    def drop(self, key: HolderKey) -> None:
        """Take back what a run has that is no more."""
        account = self._accounts.pop(key, None)
        if account is not None:
            for ticket in (*account.holds, *account.requests):
                self._forget(account, ticket)

    def grant(self) -> dict[HolderKey, tuple[int, ...]]:
        """Give open slots to those who are next; what nobody gets stays open.

        Returns:
            Tickets by run.
        """
        granted, self._repeated = self._repeated, {}
        passed_over: list[tuple[Turn, HolderKey, int]] = []
        while self._queue and self._has_room_for(min(self._wanted, default=0)):
            turn, key, ticket = entry = heappop(self._queue)
            account = self._accounts.get(key)
            if account is None or (known := account.requests.get(ticket)) is None or known[0] != turn:
                continue  # withdrawn
            if not self._has_room_for(known[1].slots):
                passed_over.append(entry)
                continue
            self._forget(account, ticket)
            self._hold(account, HeldSlots(ticket=ticket, slots=known[1].slots))
            granted.setdefault(key, []).append(ticket)
        for entry in passed_over:
            heappush(self._queue, entry)
        for key in granted:
            if (account := self._accounts.get(key)) is not None:
                account.length += A_GRANT
        return {key: tuple(tickets) for key, tickets in granted.items()}

    def heard_of(self, key: HolderKey) -> int:
        """Number of the latest message of a run that has slots or wants some; 0 of another."""
        account = self._accounts.get(key)
        return account.number if account else 0

    def has_moved(self, key: HolderKey, length: int) -> bool:
        """Whether a run may have said something that has not been heard: it is asked then, once.

        Args:
            key: of the run.
            length: of its history by now.
        """
        account = self._accounts.get(key)
        if account is None or length - account.length < A_STEP:
            return False
        account.length = length + A_QUESTION
        return True

    def holders(self) -> Iterator[SlotHolder]:
        """The runs that have slots or want some."""
        return (account.holder for account in self._accounts.values())

    def state(self) -> Iterable[HolderState]:
        """What is known of each run, to go on with."""
        for account in self._accounts.values():
            turns = sorted(account.requests.values())
            yield HolderState(
                holder=account.holder,
                number=account.number,
                length=account.length,
                holds=tuple(account.holds.values()),
                requests=tuple(request for _, request in turns),
                arrivals=tuple(turn.arrival for turn, _ in turns),
            )

    @property
    def arrivals(self) -> int:
        """How many requests there have been."""
        return self._arrivals

    def _has_room_for(self, slots: int) -> bool:
        return (self.open is None or self.open >= max(slots, 1)) and bool(self._wanted)

    def _account(self, holder: SlotHolder) -> Account:
        return self._accounts.setdefault(key_of(holder), Account(holder))

    def _close_if_empty(self, account: Account) -> None:
        if not account.holds and not account.requests:
            self._accounts.pop(key_of(account.holder), None)

    def _enter(self, account: Account, request: SlotRequest, arrival: int) -> None:
        date = account.holder.logical_date
        timestamp = date.timestamp() if date else 0.0
        turn = Turn(-request.weight, date is None, timestamp, request.map_index, arrival)
        account.requests[request.ticket] = (turn, request)
        self._wanted[request.slots] += 1
        heappush(self._queue, (turn, key_of(account.holder), request.ticket))

    def _hold(self, account: Account, held: HeldSlots) -> None:
        account.holds[held.ticket] = held
        self._count(held, 1)

    def _forget(self, account: Account, ticket: int) -> None:
        if (held := account.holds.pop(ticket, None)) is not None:
            self._count(held, -1)
        if (known := account.requests.pop(ticket, None)) is not None:
            slots = known[1].slots
            self._wanted[slots] -= 1
            if not self._wanted[slots]:
                del self._wanted[slots]

    def _count(self, held: HeldSlots, sign: int) -> None:
        if held.deferred:
            self._deferred += sign * held.slots
        else:
            self._running += sign * held.slots


def _unsaid(account: Account, message: SlotMessage) -> list[int]:
    """What a run has or wants as far as the pool knows, but not by its own word."""
    said = {request.ticket for request in message.requests} | {held.ticket for held in message.holds}
    return [ticket for ticket in (*account.holds, *account.requests) if ticket not in said]


def key_of(holder: SlotHolder) -> HolderKey:
    """A run, as it is known whatever it says."""
    return HolderKey(holder.workflow_id, holder.first_run_id)
