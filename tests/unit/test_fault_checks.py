"""Whether a fault fits a system is known, and said in one sentence, before anything of it is done."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import pytest

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import CapabilityError, UsageError
from pytest_coordchaos.faults.checks import check_fault, check_machines, check_ports
from pytest_coordchaos.faults.model import Cut, DropReplies, Duplicate, Fault, FrameKind, FramesAll, Lose, Partition, Refuse
from pytest_coordchaos.faults.words import parse
from pytest_coordchaos.system.model import CLIENTS, System
from pytest_coordchaos.system.port import Port

NODES = ("n1", "n2")
PEER = Port("peer", protocol="frames", classes={1: "vote", 2: "append"})
HTTP = Port("client", protocol="http1")
PAIRS = [*permutations(NODES, 2), *((CLIENTS, node) for node in NODES)]
PORTS = {LinkId(a, b, port.name): port for a, b in PAIRS for port in (PEER, HTTP)}
HTTP_ONLY = {link: port for link, port in PORTS.items() if port is HTTP}


@pytest.mark.parametrize(
    "fault",
    [
        Lose("n1", "n2", 0.0),
        Lose("n1", CLIENTS, 1, frozenset(("vote",))),
        Duplicate(CLIENTS, "n2", 0.5),
        FramesAll(frozenset(NODES), FrameKind.REORDER, 0.2),
        DropReplies("n1", "n2"),
        Partition((frozenset(("n1",)), frozenset((CLIENTS,))), hold=True),
    ],
)
def test_what_fits_is_let_through(fault: Fault) -> None:
    check_fault(fault, NODES, PORTS, also=(CLIENTS,))


@pytest.mark.parametrize(
    ("fault", "ports", "message"),
    [
        (Cut("n1", "n9"), PORTS, r"^There is no node 'n9'; the system's nodes are: n1, n2$"),
        (Lose("n1", "n1", 0.5), PORTS, r"^lose 50 % of frames n1 -> n1: a node has no link to itself; name two$"),
        (Refuse("n1", CLIENTS), PORTS, r"^refuse n1 -> clients: no link joins them; "),
        (DropReplies("n2", CLIENTS), PORTS, r"^drop replies of clients to n2: no link joins them; "),
        (Lose("n1", "n2", 1.5), PORTS, r"^lose: rate=1.5 is not allowed; 0 to 1$"),
        (Lose("n1", "n2", True), PORTS, r"^lose: rate=True is not allowed; 0 to 1$"),
        (Lose("n1", "n2", float("nan")), PORTS, r"^lose: rate=nan is not allowed; 0 to 1$"),
        (
            Lose("n1", "n2", 0.5, frozenset(("votes",))),
            PORTS,
            r"^lose 50 % of votes frames n1 -> n2: class 'votes' is not declared; allowed: append, vote$",
        ),
        (
            Duplicate("n1", "n2", 0.5),
            HTTP_ONLY,
            r"^duplicate 50 % of frames n1 -> n2: without one .* between them are: client \(http1\) \(drop_replies ",
        ),
        (FramesAll(frozenset(NODES), FrameKind.LOSE, 0.5), HTTP_ONLY, r"^lose 50 % of frames between n1,n2: without one"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(fault: Fault, ports: dict[LinkId, Port], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_fault(fault, NODES, ports, also=(CLIENTS,))


def test_json_lines_name_their_classes_themselves() -> None:
    lines = Port("peer", protocol="json-lines")
    check_fault(Lose("n1", "n2", 0.5, frozenset(("anything",))), NODES, dict.fromkeys(PORTS, lines))


def test_words_about_frames_need_a_port_that_has_some() -> None:
    words = [parse("slow"), parse("drop-replies:one")]
    check_ports(words, [HTTP])
    check_ports([*words, parse("lose:5")], [HTTP, PEER])
    with pytest.raises(UsageError, match=r"^Fault word 'lose:5' needs a port with .*; the system has: client \(http1\)$"):
        check_ports([*words, parse("lose:5")], [HTTP])


@dataclass
class Runtime:
    """What a runtime declares."""

    name: str
    capabilities: tuple[str, ...]


def test_words_about_clocks_and_disks_need_a_runtime_that_can_and_nodes_that_ask_their_env() -> None:
    ours, theirs = System(name="ours", nodes=1, entry="m:main"), System(name="db", nodes=1, command=["postgres"])
    words = [parse("kill:one"), parse("skew:one"), parse("power-loss:n1")]
    check_machines(words, ours, Runtime("sim", ("clocks", "disk-faults")))
    check_machines(words[:1], theirs, Runtime("bare", ()))
    with pytest.raises(
        CapabilityError, match=r"^Fault word 'power-loss:n1': runtime bare cannot do it; it does not declare 'disk-f"
    ):
        check_machines(words, ours, Runtime("bare", ("clocks",)))
    with pytest.raises(
        CapabilityError, match=r"^Fault word 'skew:one': System\('db'\) runs programs that ask this machine itself"
    ):
        check_machines(words, theirs, Runtime("process", ("clocks", "disk-faults")))
