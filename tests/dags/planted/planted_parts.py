"""An operator and a trigger that are given secrets."""

from __future__ import annotations

import logging

from airflow.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)


class Waits(BaseTrigger):
    """Knows one secret by its arguments, looks another up, and tells it to whom it can."""

    def __init__(self, password, fails):
        super().__init__()
        self.password = password
        self.fails = fails

    def serialize(self):
        return "planted_parts.Waits", {"password": self.password, "fails": self.fails}

    async def run(self):
        found = (await BaseHook.aget_connection("planted_of_trigger")).password
        log.info("the trigger knows %s", found)
        print("the trigger prints", found)
        if self.fails:
            raise ValueError(f"the trigger fails with {found}")
        yield TriggerEvent({"token": found, "given": len(self.password)})


class Defers(BaseOperator):
    def __init__(self, password=None, token=None, fails=False, **arguments):
        super().__init__(**arguments)
        self.password = password
        self.token = token
        self.fails = fails

    def execute(self, context):
        trigger = Waits(password=self.password, fails=self.fails)
        self.defer(trigger=trigger, method_name="resumes", kwargs={"token": self.token})

    def resumes(self, context, event, token):
        return [event["given"], len(token)]


class Takes(BaseOperator):
    """Has arguments that are no template fields, so that nobody shows them."""

    def __init__(self, token=None, password=None, **arguments):
        super().__init__(**arguments)
        self.token = token
        self.password = password

    @classmethod
    def get_serialized_fields(cls):
        return super().get_serialized_fields() | {"password"}

    def execute(self, context):
        return [len(self.token), len(self.password or "")]
