"""Writes the generated pages of docs/reference from the code: run it after a change to commands, settings or refusals.

uv run python docs/generate.py            write the pages
uv run python docs/generate.py --check    fail if one of them is not what the code says
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer.main

sys.path.insert(0, str(Path(__file__).parent.parent))  # the parity corpus is part of the tests, not of the package

from tests.parity import corpus

from temporal_airflow.cli import app as commands
from temporal_airflow.engine.airflow_library import use_as_library
from temporal_airflow.engine.support import REFUSALS, Refusal
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.settings import SECTION, Settings

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
RULES = DOCS / "airflow_rules.toml"
FEATURES = DOCS / "airflow_features.toml"
TESTS = DOCS.parent / "tests"
RECORDS = TESTS / "parity" / "records"
GENERATED = "<!-- Written by docs/generate.py from the code. Change the code, then run it again. -->"

TYPE_NAMES = {"str": "text", "int": "whole number", "float": "number", "Path": "path", "bool": "flag"}
FOLDER_DEFAULTS = {
    "data_folder": "the user's data folder; `~/.local/share/temporal-airflow` on Linux",
    "cache_folder": "the user's cache folder; `~/.cache/temporal-airflow` on Linux",
}
EXIT_CODES = {
    ExitCode.SUCCESS: "success",
    ExitCode.RUN_FAILED: "the run failed; of `doctor`: something is wrong",
    ExitCode.BAD_INPUT: "wrong usage or input; nothing was started",
    ExitCode.NO_SERVER: "no Temporal server can be found, started or reached",
    ExitCode.INTERRUPTED: "interrupted",
}


def cli_page() -> Iterator[str]:
    """Every command with its arguments and options."""
    group: Any = typer.main.get_command(commands.app)
    yield "# Commands"
    yield (
        "Progress and errors go to stderr, data to stdout. `RUN` is a workflow id, or `dag_id/run_id`. Every command "
        "takes `--help`, and `temporal-airflow --version` prints the version."
    )
    for name, command in all_commands(group):
        yield f"## `{name}`"
        yield command_usage(name, command)
        yield unwrapped(command.help)
        hints = get_type_hints(command.callback)
        rows = [(option_names(option), value_name(option, hints), option_help(option)) for option in command.params]
        if rows:
            yield table(("argument or option", "value", "meaning"), rows)
    yield "## Exit codes"
    yield table(("code", "meaning"), [(str(code.value), EXIT_CODES[code]) for code in ExitCode])


def all_commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name, those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def command_usage(name: str, command: Any) -> str:
    """The command's line as one types it."""
    arguments = "".join(f" {argument_usage(argument)}" for argument in command.params if is_argument(argument))
    options = " [OPTIONS]" if any(not is_argument(parameter) for parameter in command.params) else ""
    return f"`temporal-airflow {name}{arguments}{options}`"


def argument_usage(argument: Any) -> str:
    """An argument as it stands in a usage line."""
    if argument.required:
        return str(argument.metavar)
    return f"[{argument.metavar}]{'...' if argument.nargs < 0 else ''}"


def is_argument(parameter: Any) -> bool:
    """Whether it is given by position."""
    return not parameter.opts[0].startswith("-")


def option_names(parameter: Any) -> str:
    """How the parameter is written."""
    return ", ".join(f"`{name}`" for name in ([parameter.metavar] if is_argument(parameter) else parameter.opts))


def value_name(parameter: Any, hints: dict[str, Any]) -> str:
    """What kind of value it takes."""
    if is_argument(parameter):
        return "required" if parameter.required else "optional"
    if parameter.metavar:
        return f"`{escape(parameter.metavar)}`"
    kind = without_none(hints[parameter.name])
    if get_origin(kind) is list:
        return f"{type_name(get_args(kind)[0])}, may be repeated"
    return type_name(kind)


def option_help(parameter: Any) -> str:
    """Its help, with its default if there is one to tell."""
    default = parameter.default
    if is_argument(parameter) or default is None or default is False:
        return escape(parameter.help)
    shown = default.value if isinstance(default, Enum) else default
    return f"{escape(parameter.help)} Default: `{shown}`."


def settings_page() -> Iterator[str]:
    """Every setting."""
    yield "# Settings"
    yield (
        f"Set them in the section `[{SECTION}]` of `airflow.cfg`, or as environment variables. Options of a command "
        "win over both. How to connect to a Temporal server (TLS, API key, certificates, profiles) comes from "
        "Temporal's own variables and files: see [a server for production](../how-to/production-server.md). Everything "
        "of Airflow is set where Airflow has it."
    )
    yield table(
        ("setting", "type", "default", "meaning", "environment variable"),
        [
            (
                f"`{name}`",
                type_name(without_none(field.annotation)),
                FOLDER_DEFAULTS[name] if field.default_factory else shown_default(field.default),
                escape(str(field.description)),
                f"`AIRFLOW__{SECTION.upper()}__{name.upper()}`",
            )
            for name, field in Settings.model_fields.items()
        ],
    )


def refusals_page() -> Iterator[str]:
    """Every feature that is refused before a run starts."""
    yield "# Refused features"
    yield (
        "What this version can't run is refused when a run is submitted, before anything starts: exit code "
        f"{ExitCode.BAD_INPUT.value} and one line for each problem that names the DAG, the tasks, the feature and what "
        "to do instead. [Rules](rules.md) says what is refused later, in a running task."
    )
    kinds: dict[str, Callable[[Refusal], object]] = {
        "Used by a task": lambda refusal: refusal.of_task,
        "Used by a DAG": lambda refusal: refusal.of_dag,
    }
    for title, applies in kinds.items():
        yield f"## {title}"
        rows = [(escape(refusal.feature), escape(refusal.remedy)) for refusal in REFUSALS if applies(refusal)]
        yield table(("feature", "what to do instead"), rows)


def features_page() -> Iterator[str]:
    """What of Airflow works, what shows it, how it differs; and what is refused."""
    yield "# Airflow's features"
    compared = {path.stem for path in RECORDS.glob("[!_]*.json")} - corpus.EXCLUDED.keys()
    yield (
        f"Proven by Airflow itself: {len(compared)} DAGs (Airflow's examples, those of its standard and SQL providers, "
        "and our own) were run by stock Airflow and recorded; `uv run python -m tests.parity.compare` runs them here "
        "and compares every task instance, XCom, callback and asset event. Below, *DAG* names such a DAG, *test* a "
        "test of ours."
    )
    for area in tomllib.loads(FEATURES.read_text(encoding="utf-8"))["area"]:
        yield f"## {area['name']}"
        rows = [(row["feature"], row.get("differs", "as under Airflow"), shown_by(row)) for row in area["features"]]
        yield table(("feature", "works", "shown by"), rows)
    yield "## Refused"
    yield "A DAG that uses one of these is refused when it is submitted; nothing starts."
    yield table(("feature", "what to do instead"), [(escape(item.feature), escape(item.remedy)) for item in REFUSALS])
    yield "## Example DAGs that are not compared"
    yield "Stock Airflow itself can't run these where the others were recorded."
    not_compared = [(f"`{dag_id}`", escape(needs), said(dag_id)) for dag_id, needs in corpus.EXCLUDED.items()]
    yield table(("DAG", "what it needs", "what its tasks said under stock Airflow"), not_compared)


def said(dag_id: str) -> str:
    """The errors in the record of a DAG."""
    record = json.loads((RECORDS / f"{dag_id}.json").read_text(encoding="utf-8"))
    return ", ".join(f"`{task}`: {escape(error)}" for task, error in sorted(record["errors"].items()))


def rules_page() -> Iterator[str]:
    """Every rule that Airflow keeps outside a run's own decisions, with its home here and its test."""
    rules = tomllib.loads(RULES.read_text(encoding="utf-8"))
    yield "# Rules outside `DagRun.update_state`"
    yield (
        "Airflow's `DagRun.update_state` decides which tasks of a run may be scheduled and when the run ends; the "
        "engine calls it and its evaluator unchanged ([on what may have changed]"
        "(../adr/0010-airflow-looks-only-at-what-may-have-changed.md)). Airflow keeps more rules elsewhere: in the "
        "scheduler's loop, in the Execution API's handlers, in the API that starts a run. Each of them has a home "
        "here, or what needs it is refused. Paths are below `src/temporal_airflow/`, tests below `tests/`."
    )
    yield "## Rules with a home"
    rows = [(row["rule"], airflows_place(row), row["here"], test_name(row)) for row in rules["rule"]]
    yield table(("rule", "where Airflow keeps it", "where it is here", "shown by"), rows)
    yield "## Rules without a home"
    yield "What needs one of these is refused at submit; [refused features](refusals.md) says what to do instead."
    refused = [(row["rule"], airflows_place(row), refused_where(row)) for row in rules["refused"]]
    yield table(("rule", "where Airflow keeps it", "refused as"), refused)
    yield rules["remarks"].strip()
    yield "## The rest of the scheduler and the Execution API"
    yield "These decide nothing about a run that was started."
    nothing = [(", ".join(map(place, names)), reason) for reason, names in rules["nothing"].items()]
    yield table(("functions", "why they need no home"), nothing)


def airflows_place(row: dict[str, Any]) -> str:
    """Where Airflow keeps a rule."""
    return ", ".join([*map(place, row.get("airflow", ())), *([row["at"]] if "at" in row else [])])


def place(name: str) -> str:
    """A function of Airflow's scheduler or Execution API, as people write it."""
    module, _, function = name.partition(":")
    return f"scheduler `{function}`" if module == "scheduler" else f"Execution API `{module}.{function}`"


def test_name(row: dict[str, Any]) -> str:
    """The test or DAG that shows a rule."""
    kind, _, dag_id = row["test"].partition("dag:")
    return shown_by({"feature": row["rule"], "dags": [dag_id]} if dag_id else {"feature": row["rule"], "tests": [kind]})


def refused_where(row: dict[str, Any]) -> str:
    """How a rule without a home is refused.

    Raises:
        ValueError: if it isn't.
    """
    if "where" in row:
        return str(row["where"])
    if row["by"] not in {refusal.feature for refusal in REFUSALS}:
        raise ValueError(f"{row['rule']}: nothing is refused as {row['by']!r}")
    return escape(row["by"])


def shown_by(row: dict[str, Any]) -> str:
    """What shows a feature.

    Raises:
        ValueError: if it doesn't exist.
    """
    for dag_id in row.get("dags", ()):
        if not (RECORDS / f"{dag_id}.json").exists():
            raise ValueError(f"{row['feature']}: no DAG {dag_id!r} is in the parity corpus")
    for test in row.get("tests", ()):
        file, _, name = test.partition("::")
        if not (TESTS / file).exists() or (f"def {name}(" if name else "def test_") not in (TESTS / file).read_text(
            encoding="utf-8"
        ):
            raise ValueError(f"{row['feature']}: there is no test {test!r}")
    dags = [f"DAG `{dag_id}`" for dag_id in row.get("dags", ())]
    return ", ".join([*dags, *(f"test `{test}`" for test in row.get("tests", ()))])


PAGES = {
    "airflow-features.md": features_page,
    "rules.md": rules_page,
    "cli.md": cli_page,
    "settings.md": settings_page,
    "refusals.md": refusals_page,
}


def without_none(kind: Any) -> Any:
    """A type without its None and without annotations."""
    kinds = [choice for choice in get_args(kind) if choice is not NoneType]
    return kinds[0] if len(kinds) < len(get_args(kind)) else kind


def type_name(kind: Any) -> str:
    """A type in plain words."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{choice.value}`" for choice in kind)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is not None and get_origin(kind) is not list:
        kind = get_args(kind)[0]
    return TYPE_NAMES[kind.__name__]


def shown_default(value: Any) -> str:
    """A default as one would write it."""
    return "unset" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = tuple(heads)
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def unwrapped(text: str) -> str:
    """A docstring with its paragraphs on one line each."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def escape(text: str) -> str:
    """Text that doesn't break a table."""
    return text.replace("|", "\\|")


def page(write: Callable[[], Iterator[str]]) -> str:
    """A page as it is on disk."""
    return "\n\n".join([GENERATED, *write()]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    use_as_library()
    stale = [name for name, write in PAGES.items() if not is_current(name, page(write))]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/reference/{name} is not what the code says: run `uv run python docs/generate.py`.")
        return 1 if stale else 0
    for name in stale:
        (REFERENCE / name).write_text(page(PAGES[name]), encoding="utf-8")
        print(f"docs/reference/{name} written")
    return 0


def is_current(name: str, text: str) -> bool:
    """Whether a page on disk is this text."""
    path = REFERENCE / name
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
