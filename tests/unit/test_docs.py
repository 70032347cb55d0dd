"""The documents say what is: generated pages are current, links lead somewhere, and what is printed can be typed."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from printed_pages import ROOT, fenced
from temporal_airflow.cli.app import app
from temporal_airflow.engine.support import REFUSALS
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.identifiers import DEFAULT_TASK_QUEUE
from temporal_airflow.models import DEFAULT_MAX_LOST_ATTEMPTS
from temporal_airflow.settings import Settings

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/**/*.md")])
PROGRAM = "temporal-airflow"
INLINE = re.compile(r"`temporal-airflow (\w+ [^`]+)`")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(#[^)]*)?\)")
NAME_IN_FILE = re.compile(r"`((?:\w+/)*\w+\.py)` `(\w+)`")
SOURCE_FILE = re.compile(r"`((?:\w+/)+\w+\.py)`")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


class CommandLine(NamedTuple):
    """A command as a page prints it, without the program's name."""

    page: str
    arguments: list[str]


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for language, text in fenced(page):
            yield Block(str(page.relative_to(ROOT)), language, text)


def command_lines() -> list[CommandLine]:
    """Every command of ours, in shell blocks (behind `uv run` too) and within sentences."""
    lines = [
        CommandLine(block.page, words[words.index(PROGRAM) + 1 :])
        for block in blocks()
        if block.language in {"bash", "sh", "console"}
        for words in map(shlex.split, block.text.replace("\\\n", " ").splitlines())
        if PROGRAM in words
    ]
    for page in PAGES:
        texts = INLINE.findall(page.read_text(encoding="utf-8"))
        lines.extend(CommandLine(page.name, shlex.split(text.replace("[OPTIONS]", ""))) for text in texts)
    return lines


def python_blocks() -> list[Block]:
    return [block for block in blocks() if block.language == "python"]


def test_the_generated_reference_is_what_the_code_says() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_is_named_exists(page: Path) -> None:
    named = SOURCE_FILE.findall(page.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "src" / "temporal_airflow", ROOT / "examples")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_function_that_is_named_is_in_its_file(page: Path) -> None:
    named = NAME_IN_FILE.findall(page.read_text(encoding="utf-8"))
    source = ROOT / "src" / "temporal_airflow"
    assert [(file, name) for file, name in named if f"def {name}(" not in (source / file).read_text()] == []


@pytest.mark.parametrize("line", command_lines(), ids=lambda line: f"{line.page}: {shlex.join(line.arguments)}")
def test_every_printed_command_can_be_typed(line: CommandLine) -> None:
    group: Any = typer.main.get_command(app)
    name, *arguments = line.arguments
    assert name in group.commands
    group.commands[name].make_context(f"{PROGRAM} {name}", arguments)


def test_printed_commands_are_found() -> None:
    assert {line.arguments[0] for line in command_lines()} >= {"run", "worker", "trigger", "dev", "doctor", "list"}


@pytest.mark.parametrize("block", python_blocks(), ids=lambda block: block.page)
def test_every_printed_program_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


def test_printed_configuration_can_be_read() -> None:
    readers = {"toml": tomllib.loads, "json": json.loads}
    read = [readers[block.language](block.text) for block in blocks() if block.language in readers]
    assert read


def test_the_readme_lists_every_command_and_every_exit_code() -> None:
    group: Any = typer.main.get_command(app)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert set(re.findall(rf"^\| `{PROGRAM} (\w+)", readme, re.MULTILINE)) == set(group.commands)
    assert set(re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)) == {str(code.value) for code in ExitCode}


def test_figures_in_the_documents_are_those_of_the_code() -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    settings = Settings()

    assert f"heartbeat timeout ({settings.heartbeat_timeout:g} s)" in pages["who-retries-what.md"]
    assert f"`drain_timeout` ({settings.drain_timeout:g} s)" in pages["production-server.md"]
    assert DEFAULT_MAX_LOST_ATTEMPTS == settings.max_lost_attempts == 3, "who-retries-what.md says three"
    assert f"the default queue is `{DEFAULT_TASK_QUEUE}`" in pages["workers-and-queues.md"]


def test_architecture_passes_fewer_than_ten_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    path = re.findall(r"^\d+\. `([\w/]+\.py)`", text, re.MULTILINE)

    assert path[0] == "cli/run.py"
    assert path[-1].startswith("tasks/")
    assert len(path) < 10


def functions_of_airflow() -> set[str]:
    """Every method of the scheduler and every route of the Execution API, as docs/airflow_rules.toml names them."""
    airflow = Path(importlib.util.find_spec("airflow").origin or "").parent  # type: ignore[union-attr]
    scheduler = ast.parse((airflow / "jobs" / "scheduler_job_runner.py").read_text(encoding="utf-8"))
    [loop] = [node for node in scheduler.body if isinstance(node, ast.ClassDef) and node.name == "SchedulerJobRunner"]
    found = {f"scheduler:{node.name}" for node in loop.body if isinstance(node, ast.FunctionDef)}
    for path in (airflow / "api_fastapi" / "execution_api" / "routes").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(is_route, node.decorator_list)):
                found.add(f"{path.stem}:{node.name}")
    return found


def is_route(decorator: ast.expr) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(function, ast.Attribute) and function.attr in {"get", "put", "post", "patch", "delete", "head"}


def test_every_rule_of_airflows_scheduler_and_api_has_a_home_is_refused_or_needs_none() -> None:
    rules = tomllib.loads((ROOT / "docs" / "airflow_rules.toml").read_text(encoding="utf-8"))
    named = {name for row in rules["rule"] + rules["refused"] for name in row.get("airflow", ())}
    named |= {name for names in rules["nothing"].values() for name in names}
    existing = functions_of_airflow()
    assert existing - named == set(), "neither a rule nor without need"
    assert named - existing == set(), "gone from Airflow"


def test_every_dag_of_ours_that_is_compared_with_airflow_shows_a_feature() -> None:
    corpus = json.loads((ROOT / "tests" / "parity" / "records" / "_corpus.json").read_text(encoding="utf-8"))
    ours = {dag_id for dag_id, file in corpus.items() if file.startswith("own:")}
    areas = tomllib.loads((ROOT / "docs" / "airflow_features.toml").read_text(encoding="utf-8"))["area"]
    assert ours - {dag_id for area in areas for row in area["features"] for dag_id in row.get("dags", ())} == set()


def test_the_readme_shows_what_is_refused() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [refusal.feature for refusal in REFUSALS if f"| {refusal.feature} | {refusal.remedy} |" not in readme] == []
