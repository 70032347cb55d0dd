# mypy: ignore-errors
"""XComs of NumPy and pandas: scalars, arrays and frames, alone and within others."""

from __future__ import annotations

import numpy as np
import pandas as pd
from airflow.sdk import task
from leave_notes import a_dag
from round_trip import pushes_and_pulls

FRAME = pd.DataFrame({"n": [1, 2, 3], "x": [0.5, None, 1.5], "word": ["a", None, "ü"]})


def scalars():
    numbers = {kind.__name__: kind(1) for kind in (np.int8, np.int16, np.int32, np.int64)}
    numbers |= {kind.__name__: kind(200) for kind in (np.uint8, np.uint16, np.uint32, np.uint64)}
    numbers |= {kind.__name__: kind(0.1) for kind in (np.float16, np.float32, np.float64)}
    numbers |= {kind.__name__: kind(1) for kind in (np.complex64, np.complex128, np.longdouble)}
    return numbers | {
        "largest": np.uint64(2**64 - 1),
        "bool": np.bool_(True),
        "str": np.str_("text"),
        "bytes": np.bytes_(b"bytes"),
        "datetime64": np.datetime64("2024-01-02T03:04:05"),
        "timedelta64": np.timedelta64(5, "s"),
        "in_list": [np.int64(1), np.float32(2.5)],
        "as_key": {np.int64(1): "one"},
    }


def arrays():
    return {
        "array": np.array([1, 2, 3]),
        "table": np.arange(6).reshape(2, 3),
        "no_dimension": np.array(5),
        "empty": np.array([]),
        "as_list": np.arange(3).tolist(),
        "in_tuple": (np.array([1]),),
        "data_type": np.dtype("int64"),
    }


def frames():
    return {
        "frame": FRAME,
        "empty_frame": pd.DataFrame(),
        "indexed": FRAME.set_index("word"),
        "two_levels": FRAME.set_index(["n", "x"]),
        "times": pd.DataFrame({"when": pd.date_range("2024-01-02", periods=2, tz="Europe/Berlin")}),
        "categories": pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"])}),
        "objects": pd.DataFrame({"any": [1, "two"]}),
        "lists": pd.DataFrame({"list": [[1], [2, 3]]}),
        "large": pd.DataFrame({"n": np.arange(20_000) ** 2 % 9973}),
        "in_dict": {"a": [FRAME]},
        "series": pd.Series([1, 2]),
        "index": pd.Index([1, 2]),
        "timestamp": pd.Timestamp("2024-01-02T03:04:05", tz="UTC"),
        "timedelta": pd.Timedelta(seconds=5),
        "not_a_time": pd.NaT,
        "missing": pd.NA,
    }


def values():
    return scalars() | arrays() | frames()


def shown(value):
    """What the value is, however pandas would print it."""
    match value:
        case pd.DataFrame():
            ends = [repr(rows.to_dict("split")) for rows in (value.head(), value.tail(2))]
            return [*value.shape, *ends, {name: str(kind) for name, kind in value.dtypes.items()}]
        case [*each] | (*each,):
            return [type(value).__name__, *map(shown, each)]
        case {**items}:
            return {f"{type(key).__name__} {key}": shown(each) for key, each in items.items()}
        case _:
            return f"{type(value).__name__} {value!r}"


@a_dag()
def pushes_arrays_and_frames():
    pushes_and_pulls(values, shown)


@a_dag()
def passes_arrays_and_frames():
    @task
    def returns_frame():
        return FRAME

    @task
    def returns_array():
        return np.array([1, 2])

    @task
    def returns_scalars():
        return [np.int64(2), np.int64(3)]

    @task(multiple_outputs=True)
    def returns_several():
        return {"frame": FRAME, "mean": FRAME["n"].mean()}

    @task
    def adds(frame, times=1):
        return int(frame["n"].sum() * times)

    @task
    def shows(value):
        return shown(value)

    frame, several = returns_frame(), returns_several()
    adds(frame)
    adds.override(task_id="adds_mapped").partial(frame=frame).expand(times=returns_scalars())
    adds.override(task_id="adds_one_of_several")(several["frame"], several["mean"])
    shows.override(task_id="after_array")(returns_array())
    shows.override(task_id="maps_over_a_frame").expand(value=returns_frame.override(task_id="returns_for_mapping")())


pushes_arrays_and_frames()
passes_arrays_and_frames()
