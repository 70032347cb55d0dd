"""Writes orders.csv: half a year of a small shop's orders with the dirt that exports have. Always the same rows."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

ORDERS = 3000
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 181
CUSTOMERS = [f"customer-{number:03}" for number in range(1, 241)]
PRICES = {"notebook": "4.90", "pen": "1.75", "backpack": "59.00", "lamp": "34.50", "desk": "249.00", "chair": "129.90"}
DUPLICATES = 0.015
"""Share of the rows that are exported twice."""

Dirt = Callable[[str], str]
UNUSABLE: list[tuple[str, Dirt]] = [
    ("quantity", lambda _: ""),
    ("quantity", lambda quantity: f"-{quantity}"),
    ("unit_price", lambda _: ""),
    ("currency", lambda _: ""),
    ("currency", lambda _: "DOGE"),
    ("ordered_at", lambda _: ""),
]
HARMLESS: list[tuple[str, Dirt]] = [
    ("ordered_at", lambda moment: f"{datetime.fromisoformat(moment):%d/%m/%Y}"),
    ("unit_price", lambda price: price.replace(".", ",")),
    ("currency", lambda currency: f" {currency.lower()} "),
    ("product", lambda product: product.upper()),
    ("customer", lambda _: ""),  # a guest
]
CLEAN_SHARE = 0.82


def main() -> None:
    """Write the file beside this script."""
    rng = random.Random(2026)
    rows = []
    for number in range(1, ORDERS + 1):
        row = make_order(rng, number)
        rows += [row, row] if rng.random() < DUPLICATES else [row]
    with Path(__file__).with_name("orders.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def make_order(rng: random.Random, number: int) -> dict[str, str]:
    """One order; some have something odd about them."""
    ordered_at = START + timedelta(days=rng.randrange(DAYS), minutes=rng.randrange(24 * 60))
    product = rng.choice(list(PRICES))
    order = {
        "order_id": f"A-{number:05}",
        "ordered_at": ordered_at.strftime("%Y-%m-%dT%H:%M"),
        "customer": rng.choice(CUSTOMERS),
        "product": product,
        "quantity": str(rng.choice([1, 1, 1, 2, 2, 3, 5, 10])),
        "unit_price": PRICES[product],
        "currency": rng.choices(["EUR", "USD", "GBP"], [80, 14, 6])[0],
        "status": rng.choices(["paid", "shipped", "cancelled"], [30, 65, 5])[0],
    }
    if rng.random() > CLEAN_SHARE:
        column, spoil = rng.choice(UNUSABLE + HARMLESS)
        order[column] = spoil(order[column])
    return order


if __name__ == "__main__":
    main()
