"""An Airflow, settings or folders that can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from refused_commands import Refusals


@pytest.mark.parametrize("command", [("run", "good.py"), ("trigger", "good.py"), ("worker",)], ids=lambda c: c[0])
@pytest.mark.parametrize("version", ["3.3.1", "3.4.0"])
def test_an_airflow_outside_the_range(refused_at_once: Refusals, command: tuple[str, ...], version: str) -> None:
    said = refused_at_once.call(*command, before=f"import airflow; airflow.__version__ = {version!r}")
    assert f"Airflow {version} is installed; temporal-airflow needs apache-airflow >=3.3.2,<3.4" in said
    assert "pip install 'apache-airflow>=3.3.2,<3.4'" in said


def test_a_bad_setting(refused_at_once: Refusals) -> None:
    said = refused_at_once.run("good.py", AIRFLOW__TEMPORAL__CONCURRENCY="several")
    assert "Setting [temporal] concurrency = 'several' can't be used" in said
    assert "Set it in airflow.cfg or in AIRFLOW__TEMPORAL__CONCURRENCY" in said


def test_a_data_folder_that_can_not_be_made(refused: Refusals, dags: Path) -> None:
    folder = dags / "notes.txt" / "data"
    said = refused.call("list", AIRFLOW__TEMPORAL__DATA_FOLDER=str(folder))
    assert f"The data folder {folder} can't be made: Not a directory. Set [temporal] data_folder" in said


def test_an_airflow_configuration_that_airflow_refuses(refused: Refusals) -> None:
    with refused.commands.start("run", refused.dags / "good.py", AIRFLOW__LOGGING__LOGGING_LEVEL="LOUD") as command:
        said = refused.check(command.ended())
    assert "`[logging] logging_level` should not be 'LOUD'" in said
    assert "Correct airflow.cfg or the AIRFLOW__* variable" in said


def test_task_processes_in_which_airflow_can_not_start(refused: Refusals, dags: Path) -> None:
    (dags / "airflow_local_settings.py").write_text("raise ValueError('my settings are broken')\n")
    said = refused.run("good.py", PYTHONPATH=str(dags))
    assert f'File "{dags}/airflow_local_settings.py", line 1' in said
    assert "ValueError: my settings are broken" in said
    assert "Correct Airflow's configuration or airflow_local_settings.py" in said


def test_a_dags_folder_that_is_missing(refused_at_once: Refusals) -> None:
    said = refused_at_once.call("worker", "--dags-folder", "/nowhere")
    assert "The DAGs folder /nowhere doesn't exist or is not a folder" in said
