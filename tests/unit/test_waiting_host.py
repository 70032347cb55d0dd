"""The worker's end of a trigger host, while the worker stops."""

from __future__ import annotations

import asyncio
import socket

import pytest

from temporal_airflow.tasks import messages
from temporal_airflow.tasks.messages import Heartbeat
from temporal_airflow.tasks.slot_connection import Slot
from temporal_airflow.tasks.triggers.connection import WaitingHost


def _killed(pid: int) -> asyncio.Future[None]:
    """There is no process."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


@pytest.mark.parametrize("turns", range(10))
async def test_a_stop_is_heard_at_whatever_moment_the_host_becomes_ready(turns: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        starting = asyncio.create_task(WaitingHost.start(await Slot.connect(0, ours, _killed, str)))
        await asyncio.get_running_loop().sock_recv(theirs, 1000)
        theirs.sendall(messages.encode(Heartbeat()))
        for _ in range(turns):
            await asyncio.sleep(0)
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:
            await (await starting).close()
