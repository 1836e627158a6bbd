"""From a mutant to the scenario that is simulated, checked before anything starts. Pure but for the makers it calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pytest_coordchaos.checkers.invariant import Invariant
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.cost.budgets import check_limits
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults import plan as plans
from pytest_coordchaos.faults import words as fault_words
from pytest_coordchaos.faults.checks import check_ports
from pytest_coordchaos.mutants.model import Mutant, MutantSuite
from pytest_coordchaos.run import BudgetRequest, InvariantRequest, TestRequest
from pytest_coordchaos.simulation.scenario import Progress, Scenario, check_client
from pytest_coordchaos.simulation.world import Model
from pytest_coordchaos.system.model import System
from pytest_coordchaos.workloads.model import Workload

__all__ = ["control_of", "request_of", "scenario_of"]

_BUDGET = re.compile(r"(\w+)(?:\[(.+)\])?")
_SWITCH = "mutant"


def scenario_of(suite: MutantSuite, mutant: Mutant, *, control: bool = False) -> Scenario:
    """The scenario of a mutant, or of the healthy system in its place.

    Raises:
        UsageError: The mutant names something that does not exist, or nothing that can notice it.
    """
    try:
        broken, workload = mutant.system(), mutant.workload()
        system = control_of(suite, broken) if control else broken
        request = request_of(suite, mutant, workload)
        _check_faults(mutant, system)
        check_client(workload, system)
    except UsageError as error:
        raise UsageError(f"mutant {mutant.name} of {suite.name}: {error}") from None
    return Scenario(
        system=system,
        workload=workload,
        faults=tuple(mutant.faults),
        seconds=plans.checked_seconds(mutant.seconds),
        request=request,
        script=mutant.script,
        progress=None if mutant.progress_s is None else Progress(within_s=mutant.progress_s),
        model=mutant.model or Model(),
        known=suite.known,
    )


def control_of(suite: MutantSuite, broken: System) -> System:
    """The healthy system for the mutant's experiment: the broken one with the healthy entry and client, so that nodes and
    options are the same; where it is not made by an `entry`, the healthy one as it is.

    Raises:
        UsageError: It has other nodes.
    """
    healthy = suite.healthy()
    if healthy.entry is not None and broken.entry is not None:
        options = {name: value for name, value in broken.options.items() if name != _SWITCH}
        return replace(broken, entry=healthy.entry, client=healthy.client, options=options)
    if healthy.node_names != broken.node_names:
        both = f"{', '.join(healthy.node_names)} and {', '.join(broken.node_names)}"
        raise UsageError(f"the healthy system and this one have different nodes: {both}; make them equal, or a suite of its own")
    return healthy


def request_of(suite: MutantSuite, mutant: Mutant, workload: Workload) -> TestRequest:
    """Invariants and budgets to judge by.

    Raises:
        UsageError: One does not exist, an option does not fit, or `caught_by` names none of them.
    """
    known: Mapping[str, Invariant] = {**INVARIANTS, **suite.known}
    names = tuple(dict.fromkeys((*mutant.invariants, *workload.invariants)))
    asked = [_invariant(name, mutant.options, known) for name in names]
    unused = set(mutant.options) - {option for one in asked for option in one.options}
    if unused:
        raise UsageError(f"options {', '.join(sorted(unused))} belong to none of its invariants ({', '.join(names)})")
    judged = (*names, *mutant.budgets, *(["progress"] if mutant.progress_s is not None else []))
    if not mutant.caught_by or isinstance(mutant.caught_by, str) or set(mutant.caught_by) - set(judged):
        raise UsageError(
            f"caught_by={mutant.caught_by!r} is not allowed; some of what is judged: {', '.join(judged) or 'nothing'}"
        )
    if mutant.seeds < 1:
        raise UsageError(f"seeds={mutant.seeds!r} is not allowed; a number from 1")
    return TestRequest(test="", seed=0, invariants=tuple(asked), budgets=tuple(_budget(*item) for item in mutant.budgets.items()))


def _invariant(name: str, options: Mapping[str, object], known: Mapping[str, Invariant]) -> InvariantRequest:
    if name not in known:
        raise UsageError(f"invariant {name!r} is not known; allowed: {', '.join(sorted(known))}")
    own = {option: value for option, value in options.items() if option in known[name].options}
    validate = known[name].validate
    if validate is not None:
        validate(own)
    return InvariantRequest(name=name, options=own)


def _budget(name: str, allowed: float) -> BudgetRequest:
    parts = _BUDGET.fullmatch(name)
    limit, op = parts.groups() if parts else (name, None)
    check_limits({limit: allowed})
    return BudgetRequest(op=op, limits={limit: float(allowed)})


def _check_faults(mutant: Mutant, system: System) -> None:
    if isinstance(mutant.faults, str):
        raise UsageError(f"faults={mutant.faults!r} is one text; allowed: a list of fault words")
    if mutant.script is not None and mutant.faults:
        raise UsageError("it has a script and faults; a script says itself what goes wrong, so give one of the two")
    words = [fault_words.parse(word) for word in mutant.faults]
    fault_words.check_nodes(words, system.node_names, system.roles)
    check_ports(words, system.all_ports)
    plans.draw(words, system.node_names, plans.checked_seconds(mutant.seconds), 0)
