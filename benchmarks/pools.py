"""What a pool costs: many runs of a chain through one pool, beside the same runs without it.

    uv run python -m benchmarks.pools [--runs 200] [--slots 64] [--isolation fork|reuse] [--repeat 3]

A line of JSON for each repetition, then the ratios. Both take turns on the same server, so the ratio of what they take
of the processors holds on a busy machine, too; the ratio of seconds only on a quiet one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import replace

from benchmarks.installation import open_installation, our_worker
from benchmarks.measured import Measured, circumstances
from benchmarks.shapes import SHAPES, Isolation, Shape
from benchmarks.sides import Ours, measure
from temporal_airflow.capacity.pool_worker import serving_pools
from temporal_airflow.models import PoolDefinition

POOL = "benchmark"
MOST = 1.3
"""Times as slow as without a pool."""


async def compare(runs: int, slots: int, isolation: Isolation, repeat: int) -> dict[str, list[Measured]]:
    """Measure both, turn by turn."""
    free = replace(SHAPES["chain-10"], name=f"{runs}-chains", runs=runs)
    pooled = replace(free, name=f"{runs}-chains-in-a-pool", dag_id="pooled_chain_10")
    found: dict[str, list[Measured]] = {free.name: [], pooled.name: []}
    async with open_installation() as installation:
        print(json.dumps(circumstances()), flush=True)
        async with serving_pools(installation.client) as pools:
            await pools.set(PoolDefinition(name=POOL, slots=slots))
        async with our_worker(isolation) as worker:
            ours = Ours(installation, worker, isolation)
            for warm in (free, pooled):
                await measure(ours, replace(warm, runs=1), -1)
            for repetition in range(repeat):
                for shape in _turns(free, pooled, repetition):
                    found[shape.name].append(await measure(ours, shape, repetition))
                    print(found[shape.name][-1].as_line(), flush=True)
    return found


def _turns(one: Shape, other: Shape, repetition: int) -> tuple[Shape, Shape]:
    """Now the one first, now the other: what a server remembers makes it slower."""
    return (other, one) if repetition % 2 else (one, other)


def main() -> int:
    """The command; 1 if a pool costs too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--isolation", choices=("fork", "reuse"), default="fork")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    free, pooled = asyncio.run(compare(arguments.runs, arguments.slots, arguments.isolation, arguments.repeat)).values()
    pairs = list(zip(pooled, free, strict=True))
    wall = statistics.median(one.wall / other.wall for one, other in pairs)
    cpu = statistics.median(one.cpu_a_task / other.cpu_a_task for one, other in pairs)
    print(
        f"\nthrough a pool of {arguments.slots}: {wall:.2f} times the seconds, {cpu:.2f} times the CPU (at most {MOST})"
    )
    return int(min(wall, cpu) > MOST)


if __name__ == "__main__":
    sys.exit(main())
