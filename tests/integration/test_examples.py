"""The examples, run as a reader runs them: by the command, as a process of its own, from another folder."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("temporal-airflow")
RUN_KEYS = [
    "dag_id",
    "run_id",
    "workflow_id",
    "state",
    "logical_date",
    "start_date",
    "end_date",
    "task_instances",
]
TASK_KEYS = ["task_id", "map_index", "state", "try_number", "start_date", "end_date", "xcom"]
EURO_RATES = {"EUR": Fraction(1), "USD": Fraction(92, 100), "GBP": Fraction(117, 100)}
MONTHS = ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06"]


@dataclass
class Finished:
    """A run that has ended, as its JSON object tells it."""

    exit_code: int
    run: dict[str, Any]
    messages: str

    def task(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        found = [ti for ti in self.run["task_instances"] if (ti["task_id"], ti["map_index"]) == (task_id, map_index)]
        assert len(found) == 1, f"{task_id}[{map_index}]"
        return dict(found[0])

    def states(self) -> dict[tuple[str, int], str]:
        return {(ti["task_id"], ti["map_index"]): ti["state"] for ti in self.run["task_instances"]}


class Command:
    """Runs examples from a folder that isn't theirs, each test in an Airflow home of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.database = folder / "warehouse" / "orders.sqlite"

    def run(self, file: Path, *options: str) -> Finished:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))
        } | {
            "AIRFLOW_HOME": str(self._folder / "airflow"),
            "AIRFLOW__TEMPORAL__DATA_FOLDER": str(self._folder / "data"),
            "ORDERS_DB": str(self.database),
        }
        done = subprocess.run(
            [COMMAND, "run", file, "--output", "json", "--xcom", "--ephemeral", *options],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        return Finished(done.returncode, json.loads(done.stdout), done.stderr)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> tuple[Command, Finished]:
    """One run of the orders example, which several tests look at."""
    command = Command(tmp_path_factory.mktemp("orders"))
    return command, command.run(examples / "orders_etl.py")


def test_every_example_is_tested(examples: Path) -> None:
    assert {file.name for file in examples.glob("*.py")} == {"simple_dag.py", "orders_etl.py"}


def test_the_simple_dag_passes_data_along(command: Command, examples: Path) -> None:
    finished = command.run(examples / "simple_dag.py")

    assert finished.exit_code == 0, finished.messages
    assert finished.run["state"] == "success"
    assert set(finished.states().values()) == {"success"}
    assert finished.task("extract")["xcom"] == {"return_value": [3, 1, 4, 1, 5, 9, 2, 6]}
    assert finished.task("report")["xcom"] == {"return_value": "total 31, largest 9"}


def test_the_json_object_has_exactly_its_documented_keys(orders: tuple[Command, Finished]) -> None:
    _, finished = orders
    run = finished.run

    assert list(run) == RUN_KEYS
    assert run["dag_id"] == "orders_etl"
    assert run["run_id"].startswith("manual__")
    assert run["workflow_id"] == f"dag-orders_etl-{run['run_id']}"
    assert all(list(ti) == TASK_KEYS for ti in run["task_instances"])


def test_the_orders_are_mapped_by_month(orders: tuple[Command, Finished]) -> None:
    _, finished = orders

    assert (finished.exit_code, finished.run["state"]) == (0, "success"), finished.messages
    assert finished.states() == {
        ("clean", -1): "success",
        ("split_by_month", -1): "success",
        **{("summarise_month", index): "success" for index in range(len(MONTHS))},
        ("load_warehouse", -1): "success",
        ("check_quality", -1): "success",
        ("quarantine_report", -1): "success",
        ("all_clean", -1): "skipped",
        ("write_report", -1): "success",
    }
    for index, month in enumerate(MONTHS):
        summary = finished.task("summarise_month", index)["xcom"]["return_value"]
        assert {line["month"] for line in summary} == {month}


def test_the_warehouse_is_loaded_on_the_second_try_alone(orders: tuple[Command, Finished]) -> None:
    _, finished = orders
    tries = {ti["task_id"]: ti["try_number"] for ti in finished.run["task_instances"] if ti["state"] == "success"}

    assert tries.pop("load_warehouse") == 2
    assert set(tries.values()) == {1}


def test_many_rejected_rows_are_put_aside(orders: tuple[Command, Finished], examples: Path) -> None:
    command, finished = orders
    rejected, accepted = sort_out(examples)

    assert len(rejected) / (len(rejected) + len(accepted)) > 0.05, "the file has become too clean for this test"
    assert finished.task("check_quality")["xcom"] == {"skipmixin_key": {"followed": ["quarantine_report"]}}
    with command.database.with_suffix(".rejected.csv").open(newline="", encoding="utf-8") as file:
        assert [row["order_id"] for row in csv.DictReader(file)] == [row["order_id"] for row in rejected]


def test_few_rejected_rows_take_the_other_branch(command: Command, examples: Path) -> None:
    finished = command.run(examples / "orders_etl.py", "--conf", '{"max_rejected_share": 0.5}')

    assert finished.exit_code == 0, finished.messages
    states = finished.states()
    assert (states["all_clean", -1], states["quarantine_report", -1]) == ("success", "skipped")
    assert not command.database.with_suffix(".rejected.csv").exists()
    assert "only" in command.database.with_suffix(".report.md").read_text(encoding="utf-8")


def test_a_conf_that_does_not_fit_the_params_starts_nothing(examples: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="max_rejected_share"):
        Command(tmp_path).run(examples / "orders_etl.py", "--conf", '{"max_rejected_share": 7}')


def test_the_totals_are_those_of_the_file(orders: tuple[Command, Finished], examples: Path) -> None:
    command, _ = orders
    expected: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in sort_out(examples)[1]:
        total = expected[month_of(row), row["product"].casefold()]
        for column, amount in enumerate((1, int(row["quantity"]), euro_cents(row))):
            total[column] += amount

    with sqlite3.connect(command.database) as warehouse:
        loaded = {
            (month, product): list(figures)
            for month, product, *figures in warehouse.execute("SELECT * FROM monthly_sales")
        }
    assert {month for month, _ in loaded} == set(MONTHS)
    assert loaded == expected


def test_the_report_shows_the_warehouse(orders: tuple[Command, Finished], examples: Path) -> None:
    command, finished = orders
    report = Path(finished.task("write_report")["xcom"]["return_value"])

    assert report == command.database.with_suffix(".report.md")
    lines = report.read_text(encoding="utf-8").splitlines()
    for month in MONTHS:
        rows = [row for row in sort_out(examples)[1] if month_of(row) == month]
        units, cents = sum(int(row["quantity"]) for row in rows), sum(map(euro_cents, rows))
        assert f"| {month} | {len(rows)} | {units} | {cents // 100}.{cents % 100:02} |" in lines


def sort_out(examples: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rejected and accepted rows of the file, by rules written anew: what the DAG says is not asked."""
    with (examples / "data" / "orders.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] != "cancelled"]
    rejected: list[dict[str, str]] = []
    accepted: list[dict[str, str]] = []
    for number, row in enumerate(rows):
        again = any(row["order_id"] == earlier["order_id"] for earlier in rows[max(0, number - 1) : number])
        complete = row["quantity"].isdigit() and row["unit_price"] and row["ordered_at"]
        known = row["currency"].strip().upper() in EURO_RATES
        (accepted if complete and known and not again else rejected).append(row)
    return rejected, accepted


def month_of(row: dict[str, str]) -> str:
    moment = row["ordered_at"]
    return f"{moment[6:]}-{moment[3:5]}" if "/" in moment else moment[:7]


def euro_cents(row: dict[str, str]) -> int:
    whole, _, hundredths = row["unit_price"].replace(",", ".").partition(".")
    rate = EURO_RATES[row["currency"].strip().upper()]
    exact = int(row["quantity"]) * (int(whole) * 100 + int(hundredths)) * rate
    return int(exact + Fraction(1, 2))
