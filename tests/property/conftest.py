"""One process with stock Airflow in it for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from temporal_airflow.engine.airflow_library import import_scheduling_code

from .reference import Reference


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    import_scheduling_code()
    folder: Path = tmp_path_factory.mktemp("stock-airflow")
    stock = Reference(folder)
    yield stock
    stock.close()
