"""What the documents print in fenced blocks, so that tests can run it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOW_TO = ROOT / "docs" / "how-to"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def printed(page: Path, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return [text for name, text in fenced(page) if name == language]


def printed_lines(page: Path) -> list[list[str]]:
    """The words of each line in the shell blocks of a page, the program's name first."""
    return [shlex.split(line) for block in printed(page, "bash") for line in block.splitlines()]
