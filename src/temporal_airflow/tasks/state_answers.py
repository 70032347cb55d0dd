"""Answers tasks' questions about state that outlives runs, and carries out what they write to it.

It decides where things are kept; it must not know how they get there, nor what the values mean.
"""

from __future__ import annotations

from typing import assert_never

from temporal_airflow.asset_client import AssetClient, alias_place, asset_place
from temporal_airflow.models import StateChange, ValueQuestion
from temporal_airflow.state_client import Place, StateClient
from temporal_airflow.tasks.state_questions import (
    ChangeAssetState,
    FindAssetEvents,
    FindAssets,
    FindAssetState,
    FindVariables,
    StateAnswer,
    StateQuestion,
    WriteVariable,
)


class StateAnswers:
    """The worker's half of the questions."""

    def __init__(self, states: StateClient, assets: AssetClient) -> None:
        self._states = states
        self._assets = assets

    async def answer(self, task_queue: str, question: StateQuestion) -> StateAnswer:
        """Answer a question of a task, or do what it wants done.

        Args:
            task_queue: of the task's run.
            question: of the task.

        Raises:
            StateRefusedError: if there is no room for what the task writes.
        """
        match question:
            case FindVariables(question=page):
                return StateAnswer(values=await self._states.values(_variables(task_queue), page))
            case WriteVariable(key=key, sealed=sealed):
                await self._states.change(_variables(task_queue), StateChange(values={key: sealed}))
                return StateAnswer()
            case FindAssets(lookup=lookup):
                return StateAnswer(assets=await self._assets.find(task_queue, lookup))
            case FindAssetEvents(source=source, question=which):
                place = alias_place(task_queue, source) if isinstance(source, str) else asset_place(task_queue, source)
                return StateAnswer(events=await self._states.events(place, which))
            case FindAssetState(asset=asset, key=key):
                values = await self._states.values(asset_place(task_queue, asset), ValueQuestion(key=key))
                return StateAnswer(values=values)
            case ChangeAssetState(asset=asset, change=change):
                await self._states.change(asset_place(task_queue, asset), change)
                return StateAnswer()
            case _:
                assert_never(question)


def _variables(task_queue: str) -> Place:
    return Place(task_queue, "variables")
