# mypy: ignore-errors
# ruff: noqa: DTZ001
"""XComs in every form they are pulled in, of rarer types, and in backends of the installation's own."""

from __future__ import annotations

import enum
import os
import time
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import Asset, AssetAlias, Context, ObjectStoragePath, XComArg, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from leave_notes import a_dag, note, scratch
from parity_types import ByHand, Frozen, Nested, NotAllowed, Outer, Refuses
from round_trip import pushes_and_pulls

Pair = namedtuple("Pair", "a b")
LONG = "x" * 300


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    YES = "yes"


class Text(str):
    __slots__ = ()


class Slotted:
    __slots__ = ("a",)


def deep(levels):
    return {"deep": deep(levels - 1)} if levels else "end"


def values():
    return {
        "namedtuple": Pair(1, 2),
        "enum": Colour.RED,
        "int_enum": Number.ONE,
        "str_enum": Word.YES,
        "str_subclass": Text("text"),
        "ordered": OrderedDict(a=2, b=1),
        "defaultdict": defaultdict(list, a=[1]),
        "nested_dataclass": Nested(datetime(2024, 1, 2, tzinfo=UTC), {"d": Decimal("0.1")}),
        "attrs_in_attrs": Frozen((1, 2), Nested(datetime(2024, 1, 2))),
        "pydantic_nested": Outer(price=Decimal("9.99"), parts=[{"a": 1}]),
        "list_of_pydantic": [Outer(price=Decimal(1), parts=[])],
        "set_of_tuples": {(1, 2)},
        "empty": [[], {}, (), set(), "", 0],
        "fixed_offset": datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        "pendulum_duration": pendulum.duration(days=1, hours=2),
        "pendulum_date": pendulum.date(2024, 1, 2),
        "decimal_exponent": Decimal("1E+5"),
        "asset": {"a": Asset("s3://parity/value", extra={"k": [1]})},
        "asset_alias": {"a": AssetAlias("alias")},
        "object_path": ObjectStoragePath("file:///tmp/parity"),
        "path": Path("/tmp/parity"),
        "pure_path": PurePosixPath("a/b"),
        "by_hand": ByHand([1, "two"]),
        "list_by_hand": [ByHand(None)],
        "not_allowed": NotAllowed(value=1),
        "refuses": Refuses(),
        "slotted": Slotted(),
        "a_class": Nested,
        "a_module": os,
        "an_exception": ValueError("text"),
        "complex": 1j,
        "bytearray": bytearray(b"bytes"),
        "memoryview": memoryview(b"bytes"),
        "reserved": {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]},
        "reserved_2": {"__type": "datetime", "__var": 1},
        "tuple_keys": {(1, 2): 3},
        "none_key": {None: 1},
        "mixed_keys": {1: "a", "b": 2},
        "deep": deep(30),
        "iterator": iter([1, 2]),
        "dict_keys": {"a": 1}.keys(),
        "type_hints": list[int],
    }


@a_dag()
def pushes_rarer_types():
    @task
    def fails_to_return():
        return Slotted()

    pushes_and_pulls(values, lambda value: f"{type(value).__name__} {value!r}")
    fails_to_return()


@a_dag()
def pulls_in_every_form():  # noqa: C901  # one task for each way
    @task
    def mapped(n, ti=None):
        if n == 2:
            raise AirflowSkipException
        ti.xcom_push(key="twice", value=2 * n)
        return n

    @task(multiple_outputs=True)
    def several():
        return {"a": 1, "b": {"c": [2]}}

    @task
    def single(ti=None):
        ti.xcom_push(key="extra", value=[1, 2])
        return {"x": [10, 20]}

    @task_group
    def group(n):
        @task
        def in_group(n):
            return n * 100

        @task
        def sees_its_own(ti=None):
            # only its own until that of the other is there, too
            while isinstance(every := ti.xcom_pull(task_ids="group.in_group"), int):
                time.sleep(0.2)
            return [every, ti.xcom_pull("group.in_group", map_indexes=ti.map_index)]

        in_group(n) >> sees_its_own()

    @task(trigger_rule="all_done")
    def pulls(ti=None):
        return {
            "mapped": _listed(ti.xcom_pull("mapped")),
            "mapped, key": _listed(ti.xcom_pull("mapped", key="twice")),
            "mapped, one": ti.xcom_pull("mapped", map_indexes=2),
            "mapped, skipped": ti.xcom_pull("mapped", map_indexes=1),
            "mapped, skipped, default": ti.xcom_pull("mapped", map_indexes=1, default="default"),
            "mapped, several": _listed(ti.xcom_pull("mapped", map_indexes=[2, 0])),
            "mapped, range": _listed(ti.xcom_pull("mapped", map_indexes=range(3))),
            "mapped, out of range": ti.xcom_pull("mapped", map_indexes=9),
            "mapped, unmapped": ti.xcom_pull("mapped", map_indexes=-1),
            "list of one": _listed(ti.xcom_pull(["mapped"])),
            "list": _listed(ti.xcom_pull(["single", "mapped", "several", "absent"])),
            "list, map index": _listed(ti.xcom_pull(["single", "mapped"], map_indexes=0)),
            "list, map indexes": _listed(ti.xcom_pull(["single", "mapped"], map_indexes=[-1, 0])),
            "tuple": _listed(ti.xcom_pull(("single", "several"), key="b")),
            "set": _listed(ti.xcom_pull({"single"})),
            "several, a": ti.xcom_pull("several", key="a"),
            "several": ti.xcom_pull("several"),
            "own": ti.xcom_pull(),
            "own, absent": ti.xcom_pull(key="absent", default=7),
            "no key": ti.xcom_pull("single", key=None),
            "run": ti.xcom_pull("single", run_id=ti.run_id),
            "other run": ti.xcom_pull("single", run_id="no such run"),
            "dag": ti.xcom_pull("single", dag_id=ti.dag_id),
            "group": _listed(ti.xcom_pull("group.in_group")),
            "nothing": _listed(ti.xcom_pull([])),
        }

    @task
    def pulls_what_it_pushed(ti=None):
        before = ti.xcom_pull("pulls_what_it_pushed", key="k")
        ti.xcom_push(key="k", value=(1, 2))
        ti.xcom_push(key="k2", value={"s": {1}})
        return [before, ti.xcom_pull("pulls_what_it_pushed", key="k"), ti.xcom_pull(key="k2"), ti.xcom_pull("single")]

    @task
    def receives(whole, item, deeper, reduced):
        return [whole, item, deeper, _listed(reduced)]

    out, one = several(), single()
    numbers = mapped.expand(n=[1, 2, 3])
    in_groups = group.expand(n=[1, 2])
    [numbers, out, one, in_groups] >> pulls()
    one >> pulls_what_it_pushed()
    receives.override(trigger_rule="all_done")(one["x"], out["b"], out["b"]["c"], numbers)
    PythonOperator(
        task_id="templated",
        python_callable=lambda *arguments: [f"{type(each).__name__} {each}" for each in arguments],
        op_args=[
            "{{ ti.xcom_pull('single')['x'][1] }}",
            "{{ ti.xcom_pull(task_ids=['single', 'several']) }}",
            "{{ task_instance.xcom_pull(task_ids='single', key='extra') | sum }}",
            XComArg(one.operator, key="extra"),
        ],
    )


def _listed(value):
    """What was pulled; a sequence with its kind."""
    if isinstance(value, str | dict) or not hasattr(value, "__iter__"):
        return value
    return [type(value).__name__, *value]


@a_dag()
def looks_into_lazy_sequences():
    @task
    def numbers(n):
        return n if n != 3 else None

    @task
    def looks(values):
        looks = {
            "repr": lambda: repr(values)[:40],
            "length": lambda: len(values),
            "first": lambda: values[0],
            "last": lambda: values[-1],
            "slice": lambda: values[1:3],
            "from the end": lambda: values[-2:],
            "stepped": lambda: values[::2],
            "backwards": lambda: values[::-1],
            "empty": lambda: values[5:],
            "reversed": lambda: list(reversed(values)),
            "contains": lambda: [2 in values, 99 in values, None in values],
            "index": lambda: values.index(4),
            "count": lambda: values.count(1),
            "enumerated": lambda: list(enumerate(values)),
            "twice": lambda: [list(values), list(values)],
            "equal": lambda: [values == list(values), list(values) == values],
            "beyond": lambda: values[9],
            "before": lambda: values[-9],
            "by text": lambda: values["a"],
            "truth": lambda: bool(values),
        }
        return {name: _outcome(look) for name, look in looks.items()}

    @task
    def passes_on(values):
        return values

    @task
    def echo(value):
        return value

    sequence = numbers.expand(n=[1, 2, 3, 4])
    looks(sequence)
    looks.override(task_id="looks_at_nothing", trigger_rule="all_done")(
        numbers.override(task_id="nothing").expand(n=[])
    )
    passed = passes_on(sequence)
    echo.override(task_id="over_passed").expand(value=passed)
    echo.override(task_id="over_mapped_lazily").expand(value=sequence.map(lambda n: (n or 0) + 1))
    echo.override(task_id="zipped_with_mapped").expand(value=sequence.zip(passed))
    echo.override(task_id="joined_with_mapped").expand(value=sequence.concat(passed).map(lambda n: [n]))
    echo.override(task_id="whole_map")(passed.map(str))
    echo.override(task_id="whole_zip")(passed.zip(sequence))
    echo.override(task_id="whole_concat")(passed.concat(sequence))
    echo.override(task_id="of_both")({"sequence": sequence, "list": [passed, "{{ ds }}"]})


def _outcome(look):
    try:
        found = look()
    except Exception as error:  # noqa: BLE001  # which one is compared
        return f"raises {type(error).__name__}: {error}"
    return [type(found).__name__, found] if not isinstance(found, str) else found


def _stores(produced):
    """Tasks whose values a backend keeps: pushed, pulled, mapped over, cleared by a retry."""

    @task
    def pushes(ti=None):
        ti.xcom_push(key="large", value={"text": LONG, "when": datetime(2024, 1, 2, tzinfo=UTC)})
        ti.xcom_push(key="small", value=1)
        ti.xcom_push(key="overwritten", value=LONG)
        ti.xcom_push(key="overwritten", value=LONG + "!")
        return produced

    @task
    def pulls(ti=None):
        return [
            ti.xcom_pull("pushes"),
            str(ti.xcom_pull("pushes", key="large")),
            ti.xcom_pull("pushes", key="small"),
            ti.xcom_pull("pushes", key="overwritten")[-2:],
            ti.xcom_pull("pushes", key="absent", default="default"),
        ]

    @task
    def mapped(value):
        return f"{value} {LONG}"

    @task
    def reduces(values):
        return [value[:2] for value in values]

    @task(retries=1, retry_delay=3)
    def fails_first(ti=None):
        ti.xcom_push(key=f"of try {ti.try_number}", value=LONG)
        ti.xcom_push(key="always", value=ti.try_number)
        if ti.try_number == 1:
            raise ValueError
        return ti.try_number

    @task(multiple_outputs=True)
    def several():
        return {"a": LONG, "b": 2}

    pushed, out = pushes(), several()
    pulled = pulls()
    pushed >> [pulled, fails_first()]
    reduces(mapped.expand(value=pushed))
    reduces.override(task_id="of_several")([out["a"]])
    return pulled


@a_dag()
def stores_xcoms_in_files():
    @task
    def cannot_push(ti=None):
        ti.xcom_push(key="refused", value=1)

    @task
    def deletes(ti=None):
        from airflow.sdk.execution_time.xcom import XCom

        XCom.delete(key="small", task_id="pushes", dag_id=ti.dag_id, run_id=ti.run_id)
        XCom.delete(key="absent", task_id="pushes", dag_id=ti.dag_id, run_id=ti.run_id)
        return [
            ti.xcom_pull("pushes", key="small"),
            XCom.get_all(key="small", task_id="pushes", dag_id=ti.dag_id, run_id=ti.run_id),
        ]

    @task(trigger_rule="all_done")
    def looks():
        """At what the backend still has of values that were not overwritten without its knowing."""
        folder = Path(os.environ["AIRFLOW_HOME"]) / "backend" / "values"
        return sorted({path.read_text()[:4] for path in folder.iterdir()})

    pulled = _stores(["a", "b"])
    cannot_push()
    pulled >> EmptyOperator(task_id="between") >> deletes() >> looks()


@a_dag()
def stores_xcoms_as_objects():
    _stores([LONG, LONG])

    @task
    async def awaits(**context: Context):
        ti = get_current_context()["ti"]
        await ti.axcom_push(key="awaited", value=LONG)
        return await ti.axcom_pull("awaits", key="awaited") == LONG

    awaits()


@a_dag()
def deletes_xcoms():
    @task
    def pushes(ti=None):
        for key in ("a", "b", "c"):
            ti.xcom_push(key=key, value=key)
        return 1

    @task
    def mapped(n):
        return n

    @task
    def deletes(ti=None, **context):
        from airflow.sdk.execution_time.xcom import XCom

        run = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        XCom.delete(key="a", task_id="pushes", **run)
        XCom.delete(key="return_value", task_id="mapped", map_index=1, **run)
        XCom.delete(key="absent", task_id="pushes", **run)
        XCom.set(key="set for another", value={"by": "deletes"}, task_id="pushes", **run)
        XCom.set(key="return_value", value=30, task_id="mapped", map_index=2, **run)
        note(context, "after", str([ti.xcom_pull("pushes", key="a"), ti.xcom_pull("pushes", key="b")]))
        return list(XCom.get_all(key="return_value", task_id="mapped", **run))

    @task
    def looks(ti=None):
        return {
            "a": ti.xcom_pull("pushes", key="a"),
            "b": ti.xcom_pull("pushes", key="b"),
            "set": ti.xcom_pull("pushes", key="set for another"),
            "mapped": list(ti.xcom_pull("mapped")),
            "scratch": scratch(get_current_context()).exists(),
        }

    [pushes(), mapped.expand(n=[1, 2, 3])] >> deletes() >> looks()


pushes_rarer_types()
pulls_in_every_form()
looks_into_lazy_sequences()
stores_xcoms_in_files()
stores_xcoms_as_objects()
deletes_xcoms()
