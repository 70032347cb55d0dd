"""What the benchmarks say can be believed: they compare with the same as ever, and judge by the goals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks import shapes
from benchmarks.goals import table
from benchmarks.measured import Measured
from benchmarks.shapes import DAGS, IDLE, SHAPES, WIDE_DAG, ThawedError, check_frozen

OURS = Measured("chain-10", "ours", "fork", 0, tasks=10, wall=0.4, latency=0.04, cpu={"workers": 0.3}, pss=400)
BY_HAND = replace(OURS, side="handwritten", wall=0.1)


def test_the_hand_written_workflow_is_what_it_was() -> None:
    check_frozen()


def test_a_changed_hand_written_workflow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "HANDWRITTEN_SHA256", "0" * 64)
    with pytest.raises(ThawedError, match=r"measure everything in README\.md anew"):
        check_frozen()


def test_every_shape_has_its_dag_file() -> None:
    named = {shape.dag_id for shape in (*SHAPES.values(), IDLE)} | {WIDE_DAG}
    assert named <= {path.stem for path in DAGS.glob("*.py")}


@pytest.mark.parametrize(("wall", "verdict"), [(0.4, "yes"), (0.75, "no: 1.5 times")])
def test_the_table_says_by_how_much_a_goal_is_missed(wall: float, verdict: str) -> None:
    row = table([replace(OURS, wall=wall), BY_HAND], "fork", memory=None).splitlines()[2].split(" | ")
    assert row[:3] == ["| chain_10", "(2.56 s)", "0.1 s"]
    assert row[5] == verdict


def test_the_table_takes_the_median_and_only_its_own_isolation() -> None:
    others = [replace(OURS, wall=9.0, isolation="reuse"), replace(OURS, wall=0.3), replace(OURS, wall=5.0)]
    by_hand = [BY_HAND, replace(BY_HAND, wall=9.0, isolation="reuse")]
    row = table([OURS, *others, *by_hand], "fork", memory=None).splitlines()[2].split(" | ")
    assert (row[2], row[3], row[6]) == ("0.1 s", "**0.4 s**", "4.0")
