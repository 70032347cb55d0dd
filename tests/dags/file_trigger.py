"""A trigger of this bundle that waits for a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from airflow.triggers.base import BaseTrigger, TriggerEvent


class FileAppears(BaseTrigger):
    """Fires when a file is there."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def serialize(self):
        return "file_trigger.FileAppears", {"path": self.path}

    async def run(self):
        while not Path(self.path).exists():
            await asyncio.sleep(0.05)
        yield TriggerEvent("there")
