"""Lines from a socket on which descriptors travel the other way, so that no asyncio transport can own it."""

from __future__ import annotations

import asyncio
import socket


class Lines:
    """Reads a non-blocking socket line by line."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    async def next(self) -> str | None:
        """The next line, None at the end."""
        while b"\n" not in self._received:
            try:
                chunk = await asyncio.get_running_loop().sock_recv(self._connection, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                return None
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()
