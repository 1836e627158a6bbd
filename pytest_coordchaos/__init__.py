"""Chaos tests for distributed systems that also assert what coordination costs.

The public API. Names are looked up on first use (PEP 562), so that importing the package costs
next to nothing and never loads pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_coordchaos.checkers.crdt_laws import assert_crdt_laws, reachable_states
    from pytest_coordchaos.cluster import Cluster
    from pytest_coordchaos.cluster_faults import ActiveFault
    from pytest_coordchaos.cost.ledger import Ledger, LinkId, Message
    from pytest_coordchaos.errors import (
        CapabilityError,
        CoordChaosError,
        Failed,
        FaultError,
        RelayError,
        StartError,
        UnreadableHistory,
        UsageError,
        VerdictError,
    )
    from pytest_coordchaos.faults.model import (
        Corrupt,
        Cut,
        Drift,
        DropReplies,
        Duplicate,
        FullDisk,
        Jump,
        Lose,
        Partition,
        Pause,
        Refuse,
        Reorder,
        Skew,
        Slow,
        SlowDisk,
    )
    from pytest_coordchaos.history.model import History, Operation, Outcome
    from pytest_coordchaos.mutants.asserting import assert_caught
    from pytest_coordchaos.mutants.model import Mutant, MutantSuite
    from pytest_coordchaos.outcomes import Unknown, Violated
    from pytest_coordchaos.run import Figures, Run
    from pytest_coordchaos.session import Session
    from pytest_coordchaos.simulation.explore import Exploration
    from pytest_coordchaos.simulation.scenario import SeedResult
    from pytest_coordchaos.simulation.world import Model
    from pytest_coordchaos.system.liveness import Live
    from pytest_coordchaos.system.model import CLIENTS, Node, Port, System
    from pytest_coordchaos.system.readiness import NodeProbe, Ready, ready_http, ready_log, ready_port, ready_when
    from pytest_coordchaos.verdicts import Status, Verdict
    from pytest_coordchaos.workloads.model import Call, Client, Final, Request, Workload
    from pytest_coordchaos.workloads.register import register

__version__ = "0.1.0"

_HOME = {
    "checkers.crdt_laws": ("assert_crdt_laws", "reachable_states"),
    "cluster": ("Cluster",),
    "cluster_faults": ("ActiveFault",),
    "cost.ledger": ("Ledger", "LinkId", "Message"),
    "errors": (
        "CapabilityError",
        "CoordChaosError",
        "Failed",
        "FaultError",
        "RelayError",
        "StartError",
        "UnreadableHistory",
        "UsageError",
        "VerdictError",
    ),
    "faults.model": (
        "Corrupt",
        "Cut",
        "Drift",
        "DropReplies",
        "Duplicate",
        "FullDisk",
        "Jump",
        "Lose",
        "Partition",
        "Pause",
        "Refuse",
        "Reorder",
        "Skew",
        "Slow",
        "SlowDisk",
    ),
    "history.model": ("History", "Operation", "Outcome"),
    "mutants.asserting": ("assert_caught",),
    "mutants.model": ("Mutant", "MutantSuite"),
    "outcomes": ("Unknown", "Violated"),
    "run": ("Figures", "Run"),
    "session": ("Session",),
    "simulation.explore": ("Exploration",),
    "simulation.scenario": ("SeedResult",),
    "system.liveness": ("Live",),
    "simulation.world": ("Model",),
    "system.model": ("CLIENTS", "Node", "Port", "System"),
    "system.readiness": ("NodeProbe", "Ready", "ready_http", "ready_log", "ready_port", "ready_when"),
    "verdicts": ("Status", "Verdict"),
    "workloads.model": ("Call", "Client", "Final", "Request", "Workload"),
    "workloads.register": ("register",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "CLIENTS",
    "ActiveFault",
    "Call",
    "CapabilityError",
    "Client",
    "Cluster",
    "CoordChaosError",
    "Corrupt",
    "Cut",
    "Drift",
    "DropReplies",
    "Duplicate",
    "Exploration",
    "Failed",
    "FaultError",
    "Figures",
    "Final",
    "FullDisk",
    "History",
    "Jump",
    "Ledger",
    "LinkId",
    "Live",
    "Lose",
    "Message",
    "Model",
    "Mutant",
    "MutantSuite",
    "Node",
    "NodeProbe",
    "Operation",
    "Outcome",
    "Partition",
    "Pause",
    "Port",
    "Ready",
    "Refuse",
    "RelayError",
    "Reorder",
    "Request",
    "Run",
    "SeedResult",
    "Session",
    "Skew",
    "Slow",
    "SlowDisk",
    "StartError",
    "Status",
    "System",
    "Unknown",
    "UnreadableHistory",
    "UsageError",
    "Verdict",
    "VerdictError",
    "Violated",
    "Workload",
    "assert_caught",
    "assert_crdt_laws",
    "reachable_states",
    "ready_http",
    "ready_log",
    "ready_port",
    "ready_when",
    "register",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
