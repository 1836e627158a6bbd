"""Whether faults and fault words fit a system: one clear sentence where they do not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import CapabilityError, UsageError
from pytest_coordchaos.faults.model import (
    Cut,
    Drift,
    DropReplies,
    Fault,
    FrameFault,
    FramesAll,
    Jump,
    Refuse,
    Skew,
    Slow,
    SlowDisk,
)
from pytest_coordchaos.faults.resolve import describe, named
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger, Trigger, check_trigger
from pytest_coordchaos.faults.words import VERBS, FaultWord
from pytest_coordchaos.system.model import System
from pytest_coordchaos.system.port import Port

__all__ = ["Able", "check_event", "check_fault", "check_machine", "check_machines", "check_ports"]

_YEARS_S = 1e9
_ABLE = "protocol='frames' or 'json-lines', or transport='udp'"


class Able(Protocol):
    """What a runtime declares."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def capabilities(self) -> Collection[str]:
        """What it can."""
        ...


def check_fault(fault: Fault, nodes: Sequence[str], ports: Mapping[LinkId, Port], *, also: Iterable[str] = ()) -> None:
    """Check a fault before anything of it is done.

    Args:
        fault: What is asked for.
        nodes: The system's node names.
        ports: Every link, and the port it leads to.
        also: Names that are allowed beside the nodes'.

    Raises:
        UsageError: It names nobody, two that no link joins, a rate that is none, frames that are not independent of each
            other, or a class that no port declares.
    """
    for name in sorted(named(fault) - {*nodes, *also}):
        raise UsageError(f"There is no node {name!r}; the system's nodes are: {', '.join(nodes)}")
    if isinstance(fault, Cut | Refuse | Slow | FrameFault | DropReplies):
        _check_joined(fault, ports)
    _check_amount(fault)
    if isinstance(fault, FrameFault | FramesAll):
        _check_rate(fault)
        _check_frames(fault, [port for link, port in ports.items() if {link.source, link.target} <= named(fault)])


def check_ports(words: Iterable[FaultWord], ports: Iterable[Port]) -> None:
    """Check that words about frames find some.

    Raises:
        UsageError: No port's frames are independent of each other.
    """
    there = list(ports)
    for word in words:
        if VERBS[word.verb].frames and not any(port.independent for port in there):
            raise UsageError(f"Fault word {word.text!r} needs a port with {_ABLE}; the system has: {_listed(there)}")


def check_machines(words: Iterable[FaultWord], system: System, runtime: Able) -> None:
    """Check words about clocks and disks (see `check_machine`), and the triggers of all (see `check_event`)."""
    for word in words:
        if word.trigger is not None:
            check_event(word.trigger, system, runtime)
        if need := VERBS[word.verb].needs:
            check_machine(f"Fault word {word.text!r}", need, system, runtime)


def check_event(trigger: Trigger, system: System, runtime: Able) -> None:
    """Check that a trigger can come, and that the runtime can tell.

    Raises:
        UsageError: It names what the system does not have.
        CapabilityError: The runtime cannot tell.
    """
    check_trigger(trigger, system.node_names, system.roles, system.all_ports)
    need = {MessageTrigger: "message-events", SyncTrigger: "sync-events"}.get(type(trigger), "")
    if need and need not in runtime.capabilities:
        raise CapabilityError(f"Trigger '{trigger}': runtime {runtime.name} cannot tell; it does not declare {need!r}")


def check_machine(what: str, need: str, system: System, runtime: Able) -> None:
    """Check that clocks or disks of the nodes' machines can be changed.

    Args:
        what: The fault, for messages.
        need: The capability, "clocks" or "disk-faults".

    Raises:
        CapabilityError: The runtime cannot, or the system's programs ask the host for the time and for files.
    """
    if need not in runtime.capabilities:
        raise CapabilityError(f"{what}: runtime {runtime.name} cannot do it; it does not declare {need!r}")
    if system.entry is None and not system.coroutines:
        raise CapabilityError(
            f"{what}: System({system.name!r}) runs programs that ask this machine itself for the time and for files; "
            "allowed: nodes of entry='module:function', which are given clock and disk, on every runtime"
        )


def _check_joined(fault: Cut | Refuse | Slow | FrameFault | DropReplies, ports: Mapping[LinkId, Port]) -> None:
    if fault.source == fault.target:
        raise UsageError(f"{describe(fault)}: a node has no link to itself; name two")
    one_way = isinstance(fault, Refuse | DropReplies)
    ways = {(fault.source, fault.target)} | (set() if one_way else {(fault.target, fault.source)})
    if not any((link.source, link.target) in ways for link in ports):
        raise UsageError(f"{describe(fault)}: no link joins them; the one dialled has no port, or no network with the other")


def _check_amount(fault: Fault) -> None:
    """UsageError where a clock or a disk is to be what none is."""
    match fault:
        case Skew(offset_s=value):
            name, least, most = "offset_s", -_YEARS_S, _YEARS_S
        case Jump(seconds=value):
            name, least, most = "seconds", -_YEARS_S, _YEARS_S
        case Drift(rate=value):
            name, least, most = "rate", 0.5, 2.0
        case SlowDisk(sync_ms=value):
            name, least, most = "sync_ms", 0.0, 60_000.0
        case _:
            return
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{type(fault).__name__}({fault.node!r}): {name}={value!r} is not allowed; {least:.10g} to {most:.10g}")


def _check_rate(fault: FrameFault | FramesAll) -> None:
    if isinstance(fault.rate, bool) or not isinstance(fault.rate, int | float) or not 0 <= fault.rate <= 1:
        raise UsageError(f"{fault.kind}: rate={fault.rate!r} is not allowed; 0 to 1")


def _check_frames(fault: FrameFault | FramesAll, ports: Sequence[Port]) -> None:
    able = [port for port in ports if port.independent]
    if not able:
        raise UsageError(
            f"{describe(fault)}: without one of its frames the rest of such a connection is nothing TCP allows; "
            f"allowed: ports with {_ABLE}; between them are: {_listed(ports)} (drop_replies fits every protocol)"
        )
    known = {name for port in able for name in port.classes.values()} | {"datagram" for port in able if port.transport == "udp"}
    if not isinstance(fault, FrameFault) or any(port.protocol == "json-lines" for port in able):
        return
    for name in sorted(fault.classes - known):
        raise UsageError(f"{describe(fault)}: class {name!r} is not declared; allowed: {', '.join(sorted(known)) or 'none'}")


def _listed(ports: Iterable[Port]) -> str:
    return (
        ", ".join(dict.fromkeys(f"{port.name} ({port.protocol}{' over UDP' * (port.transport == 'udp')})" for port in ports))
        or "none"
    )
