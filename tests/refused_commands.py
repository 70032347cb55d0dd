"""Commands that must be refused: one clear message, exit code 2 or 3, nothing on stdout, no stack trace of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line import CommandLine, Ended

BAD_INPUT, NO_SERVER = 2, 3


@dataclass
class Refusals:
    """Runs commands that must be refused."""

    commands: CommandLine
    dags: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, file: str, *arguments: str | Path, **options: Any) -> str:
        return self.call("run", self.dags / file, *arguments, **options)

    def call(self, *arguments: str | Path, exit_code: int = BAD_INPUT, before: str = "", **environment: str) -> str:
        """What the refused command says."""
        return self.check(self.commands.call(*arguments, before=before, **self.environment | environment), exit_code)

    def check(self, ended: Ended, exit_code: int = BAD_INPUT) -> str:
        assert (ended.exit_code, ended.stdout) == (exit_code, ""), ended
        assert ended.stderr.count("Error: ") + ended.stderr.count("─ Error ─") >= 1
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count('File "') == ended.stderr.count(f'File "{self.dags}')
        return ended.stderr
