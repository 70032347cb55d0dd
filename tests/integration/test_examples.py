"""The examples, run as a reader runs them: by the command, as a process of its own, from another folder."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from command_line import PROGRAM, CommandLine, Ended, environment_of

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

    run: Mapping[str, Any]
    database: Path

    def task(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        [found] = [ti for ti in self.run["task_instances"] if (ti["task_id"], ti["map_index"]) == (task_id, map_index)]
        return dict(found)

    def states(self) -> dict[tuple[str, int], str]:
        return {(ti["task_id"], ti["map_index"]): ti["state"] for ti in self.run["task_instances"]}

    @property
    def rejected(self) -> Path:
        return self.database.with_suffix(".rejected.csv")

    @property
    def report(self) -> Path:
        return self.database.with_suffix(".report.md")


def run_in(folder: Path, file: Path, *options: str) -> Ended:
    """The real program, started in a folder that isn't the example's, with an Airflow home of its own."""
    done = subprocess.run(
        [PROGRAM, "run", file, "--output", "json", "--xcom", "--ephemeral", *options],
        cwd=folder,
        env=environment_of(folder) | {"ORDERS_DB": str(folder / "warehouse" / "orders.sqlite")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Finished:
    """One run of the orders example, which several tests look at."""
    folder = tmp_path_factory.mktemp("orders")
    ended = run_in(folder, examples / "orders_etl.py")
    assert ended.exit_code == 0, ended.stderr
    return Finished(json.loads(ended.stdout), folder / "warehouse" / "orders.sqlite")


def test_every_example_is_tested(examples: Path) -> None:
    assert {file.name for file in examples.glob("*.py")} == {"simple_dag.py", "orders_etl.py"}


def test_the_simple_dag_passes_data_along(commands: CommandLine, examples: Path, tmp_path: Path) -> None:
    ended = commands.call("run", examples / "simple_dag.py", "--output", "json", "--xcom")

    assert ended.exit_code == 0, ended.stderr
    finished = Finished(ended.json, tmp_path)
    assert finished.run["state"] == "success"
    assert set(finished.states().values()) == {"success"}
    assert finished.task("extract")["xcom"] == {"return_value": [3, 1, 4, 1, 5, 9, 2, 6]}
    assert finished.task("report")["xcom"] == {"return_value": "total 31, largest 9"}


def test_the_json_object_has_exactly_its_documented_keys(orders: Finished) -> None:
    run = orders.run

    assert list(run) == RUN_KEYS
    assert run["dag_id"] == "orders_etl"
    assert run["run_id"].startswith("manual__")
    assert run["workflow_id"] == f"dag-orders_etl-{run['run_id']}"
    assert all(list(ti) == TASK_KEYS for ti in run["task_instances"])


def test_the_orders_are_mapped_by_month(orders: Finished) -> None:
    assert orders.run["state"] == "success"
    assert orders.states() == {
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
        summary = orders.task("summarise_month", index)["xcom"]["return_value"]
        assert {line["month"] for line in summary} == {month}


def test_the_warehouse_is_loaded_on_the_second_try_alone(orders: Finished) -> None:
    tries = {ti["task_id"]: ti["try_number"] for ti in orders.run["task_instances"] if ti["state"] == "success"}

    assert tries.pop("load_warehouse") == 2
    assert set(tries.values()) == {1}


def test_many_rejected_rows_are_put_aside(orders: Finished, examples: Path) -> None:
    rejected, accepted = sort_out(examples)

    assert len(rejected) / (len(rejected) + len(accepted)) > 0.05, "the file has become too clean for this test"
    assert orders.task("check_quality")["xcom"] == {"skipmixin_key": {"followed": ["quarantine_report"]}}
    with orders.rejected.open(newline="", encoding="utf-8") as file:
        assert [row["order_id"] for row in csv.DictReader(file)] == [row["order_id"] for row in rejected]


def test_few_rejected_rows_take_the_other_branch(commands: CommandLine, examples: Path, tmp_path: Path) -> None:
    conf = {"max_rejected_share": 0.5, "database": str(tmp_path / "orders.sqlite")}
    ended = commands.call("run", examples / "orders_etl.py", "--output", "json", "--xcom", "--conf", json.dumps(conf))

    assert ended.exit_code == 0, ended.stderr
    finished = Finished(ended.json, tmp_path / "orders.sqlite")
    states = finished.states()
    assert (states["all_clean", -1], states["quarantine_report", -1]) == ("success", "skipped")
    assert not finished.rejected.exists()
    assert "Quality: only" in finished.report.read_text(encoding="utf-8")


def test_a_conf_that_does_not_fit_the_params_starts_nothing(commands: CommandLine, examples: Path) -> None:
    ended = commands.call("run", examples / "orders_etl.py", "--conf", '{"max_rejected_share": 7}')

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "max_rejected_share" in ended.stderr


def test_the_totals_are_those_of_the_file(orders: Finished, examples: Path) -> None:
    expected: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in sort_out(examples)[1]:
        total = expected[month_of(row), row["product"].casefold()]
        for column, amount in enumerate((1, int(row["quantity"]), euro_cents(row))):
            total[column] += amount

    assert warehouse(orders.database) == expected
    assert {month for month, _ in expected} == set(MONTHS)


def test_the_report_shows_the_warehouse(orders: Finished, examples: Path) -> None:
    assert orders.task("write_report")["xcom"]["return_value"] == str(orders.report)
    lines = orders.report.read_text(encoding="utf-8").splitlines()
    for month in MONTHS:
        rows = [row for row in sort_out(examples)[1] if month_of(row) == month]
        units, cents = sum(int(row["quantity"]) for row in rows), sum(map(euro_cents, rows))
        assert f"| {month} | {len(rows)} | {units} | {cents // 100}.{cents % 100:02} |" in lines


def test_the_file_is_what_its_script_writes(examples: Path, tmp_path: Path) -> None:
    script = tmp_path / "make_orders.py"
    script.write_text((examples / "data" / "make_orders.py").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, script], check=True)

    assert (tmp_path / "orders.csv").read_bytes() == (examples / "data" / "orders.csv").read_bytes()


def warehouse(database: Path) -> dict[tuple[str, str], list[int]]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT month, product, orders, units, revenue_cents FROM monthly_sales")
        return {(month, product): list(figures) for month, product, *figures in rows}


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
