"""Variables in compose files, env files, and scalars as Compose writes them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_text import as_text, interpolate, read_env_text
from pytest_coordchaos.system.compose_yaml import read_yaml

KNOWN = {"SET": "value", "EMPTY": "", "OTHER": "fallback"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$SET ${SET} $UNSET|${UNSET}", "value value |"),
        ("${SET:-x} ${EMPTY:-x} ${UNSET:-x}", "value x x"),
        ("${SET-x} ${EMPTY-x} ${UNSET-x}", "value  x"),
        ("${SET:+x} ${EMPTY:+x} ${UNSET:+x}", "x  "),
        ("${SET+x} ${EMPTY+x} ${UNSET+x}", "x x "),
        ("${SET:?no} ${SET?no} ${EMPTY?no}", "value value "),
        ("${UNSET:-${EMPTY:-$OTHER}} ${UNSET-a}b}", "fallback ab}"),
        ("$$SET $${SET} 100%", "$SET ${SET} 100%"),
        ("$SET-x ${SET}x", "value-x valuex"),
    ],
)
def test_a_variable_becomes_its_value(text: str, expected: str) -> None:
    assert interpolate(text, KNOWN, "here") == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${EMPTY:?no $OTHER}", "here: variable EMPTY is not set: no fallback"),
        ("${UNSET?}", "here: variable UNSET is not set: it is required"),
        ("${SET", "is never closed"),
        ("${SET:=x}", "is not a variable; allowed"),
        ("${1}", "is not a variable"),
        ("a $ b", "after '.' comes a variable's name"),
    ],
)
def test_what_is_no_variable_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        interpolate(text, KNOWN, "here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n\n# no\n  export B = two words # why\n", {"A": "1", "B": "two words"}),
        ("A=a#b\nB='# $SET'\nC=\"# $SET\"", {"A": "a#b", "B": "# $SET", "C": "# value"}),
        ('A="x\\ny\\"z" # said\nB="one\ntwo"\nC=3', {"A": 'x\ny"z', "B": "one\ntwo", "C": "3"}),
        ("A=1\nB=${A}2\nC=${UNSET:-d}", {"A": "1", "B": "12", "C": "d"}),
        ("A\nB=\nC: yes", {"A": None, "B": "", "C": "yes"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ],
)
def test_env_files(text: str, expected: dict[str, str | None]) -> None:
    assert read_env_text(text, KNOWN, ".env") == expected


def test_a_raw_env_file_is_taken_as_it_is() -> None:
    assert read_env_text("A='$SET' # x", KNOWN, ".env", raw=True) == {"A": "'$SET' # x"}


@pytest.mark.parametrize(
    ("text", "sentence"), [("A=1\n???", r"\.env, line 2: .*is no line"), ("\nA='x", "line 2: the quote of A")]
)
def test_a_line_that_is_none_is_named(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_env_text(text, KNOWN, ".env")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "true"), (1, "1"), (1.5, "1.5"), (3.0, "3"), (1e6, "1e+06"), (123456789.0, "1.23456789e+08"), (1e-5, "1e-05")],
)
def test_scalars_are_written_as_compose_writes_them(value: Any, expected: str) -> None:
    assert as_text(value) == expected


def test_yaml_is_read_without_the_surprises_of_its_first_version() -> None:
    document = read_yaml("a: [22:22, on, yes, 2001-01-01, 0o17, 017, 1_000, ~, '']\non: 1\n2: b", "f")

    assert document == {"a": ["22:22", "on", "yes", "2001-01-01", 15, 15, 1000, None, ""], "on": 1, "2": "b"}


def test_anchors_are_merged_and_own_keys_win() -> None:
    document = read_yaml("a: &a {x: 1, y: 1}\nb: {<<: [*a, {z: 3}], y: 2}", "f")

    assert document["b"] == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2", "f: line 2, column 1: key 'a' is given twice"),
        ("- a", "holds no mapping"),
        ("a: !reset null", "the tag !reset is not taken"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("? [a]\n: b", "a key must be a text"),
        ("a: \0", "it is no YAML"),
    ],
)
def test_yaml_that_is_not_taken_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_yaml(text, "f")
