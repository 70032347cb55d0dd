"""What whole runs cost, beside the same shapes written by hand for Temporal, and beside stock Airflow if asked.

    uv run python -m benchmarks.runs [SHAPE ...] [--isolation fork reuse] [--preparsed] [--repeat 3] [--with-airflow]
                                     [--short]

A line of JSON for each repetition, then the table of goals in Markdown. Ours and the hand-written ones take turns on
the same server, so their ratio holds on a busy machine too; Airflow runs alone afterwards, since its scheduler is never
idle.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.goals import table
from benchmarks.installation import (
    Installation,
    NotReadyError,
    handwritten_worker,
    open_installation,
    our_worker,
)
from benchmarks.measured import Measured, circumstances
from benchmarks.ratios import check_ratios
from benchmarks.shapes import IN_THE_TABLE, SHAPES, Isolation, Shape, check_frozen
from benchmarks.sides import HandWritten, Ours, measure, peak_memory
from temporal_airflow.exceptions import InputError
from temporal_airflow.tasks.bundles import BUNDLE_NAME

MEMORY_SHAPE = "fan-100"
PREPARSED = {"AIRFLOW__TEMPORAL__PREPARSED_BUNDLES": BUNDLE_NAME}
TESTS = Path(__file__).parent.parent / "tests"


async def measure_all(
    shapes: Sequence[Shape], isolations: Sequence[Isolation], repeat: int, settings: Mapping[str, str]
) -> tuple[list[Measured], dict[Isolation, float]]:
    """Measure shapes in each isolation, repetition by repetition; and the memory of a run of 100 tasks."""
    measured: list[Measured] = []
    memory: dict[Isolation, float] = {}
    async with open_installation() as installation:
        versions = {**circumstances(), "temporal-server": installation.server_version}
        print(json.dumps({**versions, **settings}), flush=True)
        for isolation in isolations:
            async with AsyncExitStack() as stack:
                worker = await stack.enter_async_context(our_worker(isolation, **settings))
                by_hand = await stack.enter_async_context(handwritten_worker(installation.connection))
                ours = Ours(installation, worker, isolation)
                runnable = [shape for shape in shapes if await _can_run(ours, shape)]
                await measure(ours, SHAPES["chain-10"], -1)  # what only the first run of a worker pays
                for repetition in range(repeat):
                    for shape in runnable:
                        for side in (ours, HandWritten(installation, by_hand, isolation)):
                            measured.append(await measure(side, shape, repetition))
                            print(measured[-1].as_line(), flush=True)
                if any(shape.name == MEMORY_SHAPE for shape in shapes):
                    memory[isolation] = await _memory(installation, isolation, settings)
    return measured, memory


async def _can_run(ours: Ours, shape: Shape) -> bool:
    try:
        await ours.prepare(shape)
    except InputError as error:
        print(json.dumps({"shape": shape.name, "not_run": str(error)}), flush=True)
        return False
    return True


async def _memory(installation: Installation, isolation: Isolation, settings: Mapping[str, str]) -> float:
    """Of a new worker and the server, at its highest: looking at it costs CPU, so this run is not timed."""
    async with our_worker(isolation, **settings) as worker:
        highest = await peak_memory(Ours(installation, worker, isolation), SHAPES[MEMORY_SHAPE])
    print(json.dumps({"shape": MEMORY_SHAPE, "isolation": isolation, "peak_pss_mb": round(highest)}), flush=True)
    return highest


def measure_airflow(shapes: Sequence[Shape], repeat: int) -> list[Measured]:
    """Measure shapes under stock Airflow, in what the parity tests bring up PostgreSQL with."""
    sys.path.append(str(TESTS))
    from benchmarks.stock_airflow import open_airflow

    measured = []
    with open_airflow() as stock:
        for repetition in range(repeat):
            for shape in shapes:
                measured.append(stock.measure(shape, repetition))
                print(measured[-1].as_line(), flush=True)
    return measured


def main() -> int:
    """The command; 1 if a ratio is broken (``--short``)."""
    arguments = _arguments()
    check_frozen()
    if arguments.short:
        return asyncio.run(check_ratios())
    shapes = [SHAPES[name] for name in arguments.shapes or IN_THE_TABLE]
    settings = PREPARSED if arguments.preparsed else {}
    try:
        measured, memory = asyncio.run(measure_all(shapes, arguments.isolation, arguments.repeat, settings))
    except NotReadyError as error:
        sys.exit(str(error))
    if arguments.with_airflow:
        measured += measure_airflow(shapes, arguments.airflow_repeat)
    for isolation in arguments.isolation:
        how = ", DAG files parsed once" if arguments.preparsed else ""
        print(f"\nisolation = {isolation}{how}\n\n{table(measured, isolation, memory.get(isolation))}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--isolation", nargs="+", choices=("fork", "reuse"), default=["fork"])
    parser.add_argument("--preparsed", action="store_true", help="parse DAG files once for many tasks")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--with-airflow", action="store_true", help="needs PostgreSQL; takes up to half an hour")
    parser.add_argument("--airflow-repeat", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="only check ratios, in less than a minute")
    arguments = parser.parse_args()
    if unknown := set(arguments.shapes) - set(SHAPES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
