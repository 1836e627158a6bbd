"""Mutants in an ordinary test, simulated or on a real runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import CapabilityError, StartError
from pytest_coordchaos.experiment import Experiment
from pytest_coordchaos.faults import plan as plans
from pytest_coordchaos.live_cluster import LiveCluster
from pytest_coordchaos.mutants.model import Mutant, MutantSuite
from pytest_coordchaos.mutants.scoring import Attempt, Score, check, score, scored
from pytest_coordchaos.run import Run
from pytest_coordchaos.simulation.scenario import Scenario
from pytest_coordchaos.verdicts import Status

if TYPE_CHECKING:
    from pytest_coordchaos.session import Session

__all__ = ["assert_caught"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


def assert_caught(
    suite: MutantSuite, mutant: Mutant, *, on: Session | None = None, seeds: int | None = None, control: int = 1
) -> Score:
    """The mutant is caught, and the healthy system in its place is accused of nothing.

    Args:
        suite: Whose mutant it is.
        mutant: Which.
        on: The fixture `coordchaos`: on the runtime that it gives, a new cluster for each seed. None: in the simulator.
        seeds: At most so many; None: what the mutant says.
        control: Seeds of the healthy system, that which caught the mutant first.

    Raises:
        AssertionError: It was missed, or there was a false alarm.
        UsageError: It names something that does not exist.
        CapabilityError: `on` simulates already, or the mutant's machines or its end can only be simulated.
    """
    if on is None:
        (found,) = score([(suite, mutant)], seeds=seeds, control=control)
    else:
        check([(suite, mutant)])
        found = scored((suite, mutant), lambda scenario: _on(on, scenario), seeds=seeds, control=control)
    if not found.caught:
        last = f"; {found.said}" if found.said else ""
        raise AssertionError(f"mutant {mutant.name} of {suite.name} was missed in {found.seeds} seeds: {mutant.doc}{last}")
    if found.alarm:
        raise AssertionError(f"false alarm: the healthy {suite.name} in place of mutant {mutant.name}: {found.alarm}")
    return found


def _on(session: Session, scenario: Scenario) -> Attempt:
    """Seeds of a scenario on the session's runtime."""
    if scenario.progress is not None:
        raise CapabilityError("progress_s is judged in the simulator alone; call assert_caught without on=")

    def attempt(seed: int) -> tuple[Run | None, str]:
        try:
            run = _real(session, scenario, seed)
        except StartError as error:
            return None, str(error)
        return run, next((one.summary for one in run.verdicts if one.status is not Status.HELD), "")

    return attempt


def _real(session: Session, scenario: Scenario, seed: int) -> Run:
    with session.start(scenario.system) as cluster:
        live = cluster.live
        if not isinstance(live, LiveCluster):
            raise CapabilityError("this cluster is simulated already; call assert_caught without on=")
        words = () if scenario.script else scenario.faults
        experiment = Experiment(
            cluster=live,
            workload=scenario.workload,
            plan=plans.draw(words, live.nodes, scenario.seconds, seed),
            request=scenario.request,
            seed=seed,
            clock=live.clock,
            known={**INVARIANTS, **scenario.known},
            script=scenario.script,
        )
        return session.portal.call(experiment.perform())
