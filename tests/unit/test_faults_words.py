"""The grammar of fault words: what is in it, and one clear sentence for what is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.steps import STEPS
from pytest_coordchaos.faults.words import VERBS, FaultWord, check_nodes, parse

NODES = ("n1", "n2", "n3")


@pytest.mark.parametrize(
    "word",
    [
        *(f"{verb}:{shape}" for verb in ("partition", "hold") for shape in ("halves", "majority", "majorities-ring")),
        *(
            f"{verb}:{target}"
            for verb in ("isolate", "pause", "kill", "drop-replies")
            for target in ("leader", "one", "minority", "n2")
        ),
        "slow",
        "slow:100",
        "slow:2.5",
        *(f"{verb}{rate}" for verb in ("lose", "duplicate", "reorder", "corrupt") for rate in ("", ":100", ":0.5")),
    ],
)
def test_every_word_of_the_grammar_is_read(word: str) -> None:
    parsed = parse(word)
    check_nodes([word, parsed], NODES, roles={"leader"})
    assert str(parsed) == word
    assert parsed == FaultWord(word, *(word.split(":") if ":" in word else (word, "")))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("explode", r"^Fault word 'explode' is not known; allowed: partition:halves, .*full-disk:<node>$"),
        ("", r"^Fault word '' is not known; allowed: partition:halves"),
        (
            "partition",
            r"^Fault word 'partition' is not allowed; after 'partition' allowed: partition:halves, partition:majority, ",
        ),
        ("partition:thirds", r"^Fault word 'partition:thirds' is not allowed; after 'partition' allowed: "),
        (
            "pause:",
            r"^Fault word 'pause:' is not allowed; after 'pause' allowed: pause:leader, pause:one, pause:minority, pause:<node>$",
        ),
        ("pause:N 1", r"^Fault word 'pause:N 1' is not allowed; "),
        ("slow:", r"^Fault word 'slow:' is not allowed; after 'slow' allowed: slow, slow:<milliseconds>$"),
        ("slow:0", r"^Fault word 'slow:0' is not allowed; "),
        ("slow:nan", r"^Fault word 'slow:nan' is not allowed; "),
        ("slow:-5", r"^Fault word 'slow:-5' is not allowed; "),
        ("lose:0", r"^Fault word 'lose:0' is not allowed; after 'lose' allowed: lose, lose:<percent>$"),
        ("corrupt:101", r"^Fault word 'corrupt:101' is not allowed; "),
        ("reorder:half", r"^Fault word 'reorder:half' is not allowed; "),
        ("hold", r"^Fault word 'hold' is not allowed; after 'hold' allowed: hold:halves, hold:majority, hold:majorities-ring$"),
        ("drop-replies", r"^Fault word 'drop-replies' is not allowed; after 'drop-replies' allowed: drop-replies:leader, "),
        (7, r"^Fault word 7 is not a string; allowed: "),
    ],
)
def test_what_is_no_word_is_refused_with_what_is_allowed(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(word)


def test_a_node_that_the_system_has_not_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"'kill:n9' names no node of the system; allowed: kill:leader, .*, kill:n1, kill:n2, kill:n3$"
    ):
        check_nodes(["kill:n9"], NODES)


@pytest.mark.parametrize(
    ("word", "least", "count"),
    [
        ("partition:majority", 3, 2),
        ("isolate:one", 2, 1),
        ("isolate:n1", 2, 1),
        ("slow", 2, 1),
        ("lose", 2, 1),
        ("lose:5", 2, 1),
        ("drop-replies:n1", 2, 1),
    ],
)
def test_a_word_that_needs_more_nodes_says_so(word: str, least: int, count: int) -> None:
    with pytest.raises(UsageError, match=f"{word!r} needs at least {least} nodes; the system has {count}"):
        check_nodes([word], NODES[:count])


def test_a_role_that_is_not_declared_is_told_before_the_run() -> None:
    check_nodes(["pause:leader"], NODES)
    with pytest.raises(
        UsageError, match=r"'pause:leader' needs the role 'leader'; the system declares: none \(give System\(roles="
    ):
        check_nodes(["pause:leader"], NODES, roles=())


def test_the_nemesis_can_do_every_verb() -> None:
    assert set(STEPS) == set(VERBS)


def test_every_word_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "faults.md").read_text()
    documented = set(re.findall(r"`([a-z-]+(?::[A-Za-z-]+)?)`", text))
    for verb, row in VERBS.items():
        expected = {f"{verb}:{name}" if name else verb for name in row.choices if name not in ("leader", "one", "minority")}
        expected |= {f"{verb}:TARGET"} if row.nodes else set()
        expected |= {f"{verb}:MS"} if row.milliseconds else set()
        expected |= {f"{verb}:PERCENT"} if row.percent else set()
        assert expected <= documented
