"""Loads half a year of a shop's orders into a SQLite warehouse and reports on them.

Shows dynamic task mapping (one task per month found in the file), a retry that really happens (the warehouse is asleep
when the load first knocks), a branch (are too many rows unusable?) and params. See ``examples/README.md``.
"""

from __future__ import annotations

import csv
import os
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

import pendulum
from airflow.sdk import Param, dag, task

EURO_RATES = {"EUR": Decimal(1), "USD": Decimal("0.92"), "GBP": Decimal("1.17")}
DATE_FORMATS = ("%Y-%m-%dT%H:%M", "%d/%m/%Y")
CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS monthly_sales (
    month TEXT, product TEXT, orders INTEGER, units INTEGER, revenue_cents INTEGER, PRIMARY KEY (month, product)
)
"""
UPSERT = "INSERT OR REPLACE INTO monthly_sales VALUES (:month, :product, :orders, :units, :revenue_cents)"
BY_MONTH = "SELECT month, SUM(orders), SUM(units), SUM(revenue_cents) FROM monthly_sales GROUP BY month ORDER BY month"


class RejectedError(Exception):
    """A row that can't be counted; the message says why."""


class WarehouseAsleepError(Exception):
    """The warehouse suspends itself when idle; the first connection only wakes it up."""


@task(multiple_outputs=False)
def clean(params: dict) -> dict:
    """Read the file; tell what can be counted, what can't and why."""
    source = Path(params["orders"] or Path(__file__).parent / "data" / "orders.csv")
    with source.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] != "cancelled"]
    accepted, rejected, seen = [], [], set()
    for row in rows:
        try:
            accepted.append(usable(row, seen))
        except RejectedError as error:
            rejected.append({**row, "reason": str(error)})
    print(f"{len(accepted)} rows accepted, {len(rejected)} rejected: {Counter(row['reason'] for row in rejected)}")
    return {"accepted": accepted, "rejected": rejected}


@task
def split_by_month(cleaned: dict) -> list[list[dict]]:
    """The accepted orders, a list per month."""
    months: dict[str, list[dict]] = {}
    for order in cleaned["accepted"]:
        months.setdefault(order["month"], []).append(order)
    return [months[month] for month in sorted(months)]


@task
def summarise_month(orders: list[dict]) -> list[dict]:
    """Orders, units and revenue of one month, by product."""
    summaries: dict[str, Counter] = {}
    for order in orders:
        summary = summaries.setdefault(order["product"], Counter())
        summary.update(orders=1, units=order["units"], revenue_cents=order["revenue_cents"])
    month = orders[0]["month"]
    return [{"month": month, "product": product, **summary} for product, summary in sorted(summaries.items())]


@task(multiple_outputs=False, retries=2, retry_delay=timedelta(seconds=1))
def load_warehouse(summaries: list[list[dict]], params: dict, ti) -> dict:
    """Write all months in one transaction; a second load of the same months replaces them."""
    rows = [row for summary in summaries for row in summary]
    with closing(connect(params, ti.try_number)) as warehouse, warehouse:
        warehouse.execute(CREATE_TABLE)
        warehouse.executemany(UPSERT, rows)
    return {"database": str(database_path(params)), "rows": len(rows)}


@task.branch
def check_quality(cleaned: dict, params: dict) -> str:
    """Choose what happens to the rejected rows."""
    rejected = len(cleaned["rejected"])
    share = rejected / (rejected + len(cleaned["accepted"]))
    print(f"{share:.1%} of the rows were rejected")
    return "quarantine_report" if share > params["max_rejected_share"] else "all_clean"


@task
def quarantine_report(cleaned: dict, params: dict) -> str:
    """Put the rejected rows aside for somebody to look at."""
    path = database_path(params).with_suffix(".rejected.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, cleaned["rejected"][0])
        writer.writeheader()
        writer.writerows(cleaned["rejected"])
    return f"{len(cleaned['rejected'])} rows were rejected, see {path.name}"


@task
def all_clean(cleaned: dict) -> str:
    """Few rows were rejected: nothing to do."""
    return f"only {len(cleaned['rejected'])} rows were rejected"


@task(trigger_rule="none_failed_min_one_success")
def write_report(loaded: dict, verdicts: list[str | None], params: dict) -> str:
    """Write what the warehouse holds now as a Markdown table."""
    with closing(sqlite3.connect(loaded["database"])) as warehouse:
        months = warehouse.execute(BY_MONTH).fetchall()
    lines = ["# Orders by month", "", "| month | orders | units | revenue (EUR) |", "|---|---:|---:|---:|"]
    lines += [f"| {month} | {orders} | {units} | {cents / 100:.2f} |" for month, orders, units, cents in months]
    lines += ["", *(f"Quality: {verdict}." for verdict in verdicts if verdict)]
    path = database_path(params).with_suffix(".report.md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def usable(row: dict[str, str], seen: set[str]) -> dict[str, str | int]:
    """An order with its month, its units and its revenue in euro cents."""
    if row["order_id"] in seen:
        raise RejectedError("duplicate")
    seen.add(row["order_id"])
    try:
        units, price = int(row["quantity"]), Decimal(row["unit_price"].replace(",", "."))
    except (ValueError, InvalidOperation) as error:
        raise RejectedError("quantity or price missing") from error
    if units <= 0:
        raise RejectedError("quantity not positive")
    rate = EURO_RATES.get(row["currency"].strip().upper())
    if rate is None:
        raise RejectedError("unknown currency")
    cents = (units * price * rate * 100).quantize(Decimal(1), ROUND_HALF_UP)
    month = f"{parse_date(row['ordered_at']):%Y-%m}"
    return {"month": month, "product": row["product"].lower(), "units": units, "revenue_cents": int(cents)}


def parse_date(text: str) -> datetime:
    """The moment of an order, in one of the formats that the shop's systems write."""
    for pattern in DATE_FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise RejectedError("date missing")


def database_path(params: dict) -> Path:
    """The warehouse: the param ``database``, else $ORDERS_DB, else a file in the system's temporary folder."""
    default = os.environ.get("ORDERS_DB") or Path(tempfile.gettempdir(), "orders.sqlite")
    path = Path(params["database"] or default).expanduser().absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def connect(params: dict, try_number: int) -> sqlite3.Connection:
    """Open the warehouse; SQLite needs no time to wake up, so the first try stands for a warehouse that does."""
    if try_number == 1:
        raise WarehouseAsleepError("the warehouse is waking up; it will be there in a moment")
    return sqlite3.connect(database_path(params))


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["example"],
    params={
        "orders": Param(None, type=["null", "string"], description="CSV file; the one beside this DAG by default."),
        "database": Param(None, type=["null", "string"], description="SQLite file; $ORDERS_DB by default."),
        "max_rejected_share": Param(0.05, type="number", minimum=0, maximum=1, description="More is put aside."),
    },
)
def orders_etl():
    """Orders from a CSV file to monthly sales in a warehouse, with a report."""
    cleaned = clean()
    summaries = summarise_month.expand(orders=split_by_month(cleaned))
    verdicts = [quarantine_report(cleaned), all_clean(cleaned)]
    check_quality(cleaned) >> verdicts
    write_report(load_warehouse(summaries), verdicts)


orders_etl()
