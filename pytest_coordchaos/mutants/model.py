"""What a mutant is: a system with one named bug, and the experiment that must notice it. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.errors import UsageError

if TYPE_CHECKING:
    from pytest_coordchaos.experiment import Script
    from pytest_coordchaos.simulation.world import Model
    from pytest_coordchaos.system.model import System
    from pytest_coordchaos.workloads.model import Workload

__all__ = ["Mutant", "MutantSuite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A system with one bug, and the experiment whose invariants or budgets must notice it.

    Args:
        name: Short; one of its kind in the suite.
        doc: What is broken, in one line.
        system: Makes the broken System. By convention its `entry` is one of its own, which breaks what
            `options["mutant"]` names, so that the healthy entry cannot be broken by any option.
        workload: Makes the load.
        caught_by: Verdicts of which one must be violated: names of invariants and budgets as they are judged,
            `messages_per_op` or `messages_per_op[put]`, and `progress`.
        faults: Fault words; each seed draws its own plan.
        seconds: Length of the load.
        invariants: Invariants beside those that the workload brings.
        options: Options of those invariants; each gets what it knows.
        budgets: Name of a limit, or `name[operation]` -> inclusive limit.
        script: `async (cluster, rng)`, run beside the load; then `faults` must be empty.
        model: How the simulated machines behave; None: as usual.
        progress_s: At the end a majority is healed and the rest stays cut off: seconds within which it must do something.
        seeds: It is missed when so many seeds did not show it.
    """

    name: str
    doc: str
    system: Callable[[], System]
    workload: Callable[[], Workload]
    caught_by: Sequence[str]
    faults: Sequence[str] = ()
    seconds: float = 5.0
    invariants: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    script: Script | None = None
    model: Model | None = None
    progress_s: float | None = None
    seeds: int = 200

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class MutantSuite:
    """The mutants of one system.

    Args:
        name: The system's name.
        healthy: Makes the System without a bug, for the control.
        mutants: The mutants.
        not_here: Name -> why the system has no such mutant.
        known: Invariants of one's own, by name.

    Raises:
        UsageError: Two mutants have one name.
    """

    name: str
    healthy: Callable[[], System]
    mutants: Sequence[Mutant]
    not_here: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [mutant.name for mutant in self.mutants]
        twice = [name for place, name in enumerate(names) if name in names[:place] or name in self.not_here]
        if twice:
            raise UsageError(f"MutantSuite({self.name!r}): the name {twice[0]!r} is given twice; each mutant needs its own")
