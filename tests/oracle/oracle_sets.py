"""Where the histories with known verdicts lie. They are somebody else's data and never part of this project."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import require

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "oracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One history of a set, as its manifest lists it."""

    path: Path
    format: str
    model: str
    verdict: str


def listed(name: str) -> list[Listed]:
    """Every history of a set; the test is skipped, saying why, where the set is absent."""
    manifest = ROOT / name / "MANIFEST.tsv"
    require("oracle", manifest.is_file(), f"the histories with known verdicts are not at {manifest.parent}")
    with manifest.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [
        Listed(path=manifest.parent / row["file"], format=row["format"], model=row["model"], verdict=row["verdict"])
        for row in rows
    ]
