"""The skeleton of a system: it holds under faults, and a copy of it works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pytest_coordchaos import register
from pytest_coordchaos.simulation.explore import explore
from pytest_coordchaos.simulation.scenario import Scenario
from reference_systems import skeleton
from reference_systems.skeleton.system import system

FAULTS = ("partition:halves", "kill:one", "pause:one", "slow:20", "lose:10", "duplicate:20", "reorder:20", "drop-replies:one")


def test_it_holds_under_faults() -> None:
    scenario = Scenario(system=system(), workload=register(cas_share=0.0, rate_per_s=20), faults=FAULTS, seconds=8)

    found = explore(scenario, range(12), nodes=system().node_names, keep_going=True)

    assert [(result.seed, result.summary) for result in found.results if result.verdict != "held"] == []


def test_a_copy_under_another_name_is_a_system_of_its_own(tmp_path: Path) -> None:
    """As its README says: copy the folder, replace the name."""
    copy = tmp_path / "yours"
    shutil.copytree(Path(skeleton.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.glob("*.py"):
        file.write_text(file.read_text().replace("reference_systems.skeleton", "yours"))
    words = [sys.executable, "-m", "pytest_coordchaos.cli", "mutants", "yours.mutants:MUTANTS", "talkative", "--control", "1"]

    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 caught" in done.stdout
