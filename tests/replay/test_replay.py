"""Histories replay: the same decisions again, in other processes, whatever the order of their sets.

``histories/`` holds runs of every example and of the fundamentals' DAGs, kept within an engine epoch. Record them anew,
after raising the epoch, with ``uv run python tests/replay/record.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HISTORIES = Path(__file__).parent / "histories"
REPLAY = Path(__file__).parent / "replay_all.py"


def test_there_are_histories_of_this_epoch() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} >= {
        "simple_dag",
        "orders_etl",
        "maps",
        "fails_twice",
        "emits",
        "keeps_assets",
        "keeps_events",
        "keeps_state_as_new",
        "holds",
        "tears_down",
        "outlasts",
        "outlasts_goes_on",
        "outlasts_batch",
        "in_a_pool",
        "in_a_pool_goes_on",
        "keeps_a_pool",
        "keeps_a_pool_to_its_end",
        "keeps_a_busy_pool",
    }


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_kept_histories_replay_under_any_hash_seed(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    replay = subprocess.run(
        [sys.executable, str(REPLAY), str(HISTORIES)], env=environment, capture_output=True, text=True, check=False
    )
    assert replay.returncode == 0, replay.stdout + replay.stderr
    assert f"{len(list(HISTORIES.glob('*.json')))} histories replayed" in replay.stdout
