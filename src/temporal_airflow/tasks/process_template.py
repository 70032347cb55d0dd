"""The template of all processes that run user code, for as long as the worker lives.

A template that can't start is an error that stays; one that dies later (out of memory, most likely) is started again
when the next slot is needed. It must not know sockets, nor what slots are used for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Self

from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.tasks.guarded_template import GuardedTemplate
from temporal_airflow.tasks.guardian_start import template_environment
from temporal_airflow.tasks.slot_connection import Slot

logger = logging.getLogger(__name__)


class ProcessTemplate:
    """Forks slots."""

    def __init__(self, environ: Mapping[str, str], first: GuardedTemplate) -> None:
        """Take over started processes; see :meth:`start`."""
        self._environ = environ
        self._current = first
        self._replacing = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, environ: Mapping[str, str]) -> AsyncIterator[Self]:
        """Start the processes; everything below dies when the context ends.

        Args:
            environ: environment of all processes that run user code.
        """
        environ = template_environment(environ)
        template = cls(environ, await GuardedTemplate.launch(environ))
        try:
            yield template
        finally:
            await template._current.close()

    async def ready(self) -> None:
        """Wait until Airflow is imported.

        Raises:
            ProcessLostError: if it can't be, with the reason it gave.
        """
        await self._current.ready()

    async def fork_slot(self) -> Slot:
        """Fork a slot, from a new template if the old one died.

        Raises:
            ProcessLostError: if no template can be started.
        """
        template = self._current
        try:
            return await template.fork_slot()
        except ProcessLostError as error:
            if not template.was_ready:
                raise
            logger.warning("%s It is started again.", error)
        await self._replace(template)
        return await self._current.fork_slot()

    async def _replace(self, dead: GuardedTemplate) -> None:
        async with self._replacing:
            if self._current is dead:
                self._current = await GuardedTemplate.launch(self._environ)
                await dead.close()
