"""Makes the packaged DAG: ``uv run python -m tests.parity.package`` writes ``second_bundle/packaged.zip``."""

from __future__ import annotations

import zipfile
from pathlib import Path

SOURCES = Path(__file__).parent / "packaged_dags"
PACKAGE = Path(__file__).parent / "second_bundle" / "packaged.zip"


def main() -> None:
    with zipfile.ZipFile(PACKAGE, "w") as package:
        for name, source in sources().items():
            package.writestr(zipfile.ZipInfo(name), source)


def contents() -> dict[str, str]:
    """What the package holds, by name."""
    with zipfile.ZipFile(PACKAGE) as package:
        return {name: package.read(name).decode() for name in package.namelist()}


def sources() -> dict[str, str]:
    """What it is made of, by name."""
    return {source.name: source.read_text() for source in sorted(SOURCES.glob("*.py"))}


if __name__ == "__main__":
    main()
