"""A task that has no more memory: the kernel kills its process, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.utils.state import TaskInstanceState

from task_bench import open_task_bench

KINDS = (
    (Path("/sys/fs/cgroup/memory"), {"memory.limit_in_bytes": "32M", "memory.swappiness": "0"}),
    (Path("/sys/fs/cgroup"), {"memory.max": "32M", "memory.swap.max": "0"}),
)
"""Where control groups of version 1 and 2 are, and how they limit memory."""


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group whose processes have little memory."""
    folder, limits = KINDS[0] if KINDS[0][0].exists() else KINDS[1]
    group = folder / f"temporal-airflow-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        for name, limit in limits.items():
            (group / name).write_text(limit)
        yield group
    except OSError as error:
        pytest.skip(f"memory can't be limited: {error}")
    finally:
        group.rmdir()


@pytest.mark.parametrize("isolation", ["fork", "reuse"])
async def test_a_task_that_the_kernel_kills_for_want_of_memory_fails_alone(
    isolation: str, little_memory: Path, tmp_path: Path
) -> None:
    async with open_task_bench(tmp_path, isolation) as tasks:
        (tasks.scratch / "group").write_text(str(little_memory))
        killed = (await tasks.run("outgrows_its_group", should_retry=True, max_tries=1)).result
        assert (killed.state, killed.exit_code) == (TaskInstanceState.UP_FOR_RETRY, -9)
        assert killed.error == "Process was killed by SIGKILL"
        assert (await tasks.run("answer")).result.state == TaskInstanceState.SUCCESS
