"""Foreign histories are read as their writers meant them; what cannot be read is said in one sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos.errors import UnreadableHistory, UsageError
from pytest_coordchaos.history.edn import EdnError, IndependentTuple, top_level
from pytest_coordchaos.history.model import INFINITY_NS, History, Outcome
from pytest_coordchaos.history.readers import FORMATS, read_history


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Text and format -> history."""

    def reading(text: str, format: str = "jepsen-edn") -> History:
        path = tmp_path / "h"
        path.write_text(text)
        return read_history(path, format)

    return reading


def forms(text: str) -> list[Any]:
    """The top-level forms without their lines."""
    return [form for _, form in top_level(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil", None),
        ("true", True),
        ("-12", -12),
        ("12N", 12),
        ("1.5e3", 1500.0),
        ("2.5M", 2.5),
        (r'"a\n\"\u00e4"', 'a\n"ä'),
        (r"\newline", "\n"),
        (r"\a", "a"),
        (":timed-out", "timed-out"),
        ("a.b/c", "a.b/c"),
        ("#{1 2}", frozenset({1, 2})),
        ("{:a [1 (2 3)], :b {}}", {"a": [1, [2, 3]], "b": {}}),
        ("{[1 2] 3}", {(1, 2): 3}),
        ('#inst "2020"', "2020"),
        ("#_ hidden 5", 5),
        ("#_ #_ one two 3", 3),
        ("^{:line 3} sym", "sym"),
        ("; a comment\n7 ; another", 7),
        ("#jepsen.history.Op{:f :read}", {"f": "read"}),
        ("#:jepsen{:a 1}", {"a": 1}),
        ('#object[java.lang.Foo 0x1f "x"]', ["java.lang.Foo", 31, "x"]),
        ("-0x1F", -31),
        ("36rZZ", 1295),
        ("1/2", Fraction(1, 2)),
        ("##-Inf", float("-inf")),
        ('#"a.b"', "a.b"),
    ],
)
def test_edn_values(text: str, value: Any) -> None:
    """Every kind of EDN that histories hold."""
    assert forms(f"0 {text}")[1:] == [value]
    assert type(forms(f"0 {text}")[1]) is type(value)


def test_edn_lines_are_counted() -> None:
    """Elements of the one top-level collection carry their own lines, also behind strings with newlines."""
    assert list(top_level('; c\n[{:a "x\ny"}\n 2]')) == [(2, {"a": "x\ny"}), (4, 2)]
    assert list(top_level("1\n2 3")) == [(1, 1), (2, 2), (2, 3)]
    assert forms("([1] [2])") == [[1], [2]]
    assert forms("[1] [2]") == [[1], [2]]
    assert isinstance(forms("0 #jepsen.independent/tuple [1 2]")[1], IndependentTuple)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[1\n[2]", 1, r"'\[' is never closed"),
        ("1\n]", 2, r"'\]' closes nothing"),
        ("[1\n)", 2, r"'\)' closes nothing"),
        ("\n{:a}", 2, "a map needs an even number of forms"),
        ('\n"abc', 2, "unreadable text at"),
        ("\n\n12x", 3, "'12x' is no number"),
        ("2r9", 1, "'2r9' is no number"),
        ("1/0", 1, "'1/0' is no number"),
    ],
)
def test_edn_errors_name_their_line(text: str, line: int, what: str) -> None:
    """Where, and what was wrong."""
    with pytest.raises(EdnError, match=what) as error:
        forms(text)
    assert error.value.line == line


INVOKE = "{:process 0, :type :invoke, :f :write, :value 1, :time 5}"


def test_jepsen_events_become_operations(read: Any) -> None:
    """Invocation and completion are one operation; reads have results; the nemesis is left out."""
    history = read(f"""[{INVOKE}
      {{:process :nemesis, :type :info, :f :kill, :value nil}}
      {{:process 1, :type :invoke, :f :read, :value nil, :time 7}}
      {{:process 0, :type :ok, :f :write, :value 1, :time 9}}
      {{:process 1, :type :ok, :f :read, :value 1, :time 11}}]""")
    write, seen = history
    assert (write.f, write.value, write.result, write.invoke_ns, write.return_ns) == ("write", 1, None, 5, 9)
    assert (seen.f, seen.value, seen.result, seen.invoke_ns, seen.return_ns) == ("read", None, 1, 7, 11)


def test_what_the_nemesis_did_is_left_out_however_it_is_written(read: Any) -> None:
    """Also without `:f`, and in JSON with the colon of a keyword."""
    assert len(read(f"[{{:process :nemesis, :type :info, :value nil}} {INVOKE}]")) == 1
    events = [f'{{"process": {process}, "type": "info", "f": "start"}}' for process in ('"nemesis"', '":nemesis"')]
    assert len(read("\n".join(events), "jepsen-json")) == 0


def test_files_of_other_editors_and_unusual_text(read: Any) -> None:
    """A byte order mark before the text, carriage returns, and a line separator inside a JSON text."""
    assert len(read(f"\ufeff[{INVOKE}]\r\n")) == 1
    (op,) = read('\ufeff{"process": 0, "type": "invoke", "f": "write", "value": "a\u2028b"}\r\n', "jepsen-json")
    assert op.value == "a\u2028b"


def test_info_stays_open_though_its_process_goes_on(read: Any) -> None:
    """Also when the same number invokes again, and when the file ends without a word."""
    again = "{:process 0, :type :invoke, :f :read, :value nil}"
    history = read(f"{INVOKE} {{:process 0, :type :info, :f :write, :value 1}} {again}")
    assert [(op.f, op.outcome, op.return_ns) for op in history] == [
        ("write", Outcome.INFO, INFINITY_NS),
        ("read", Outcome.INFO, INFINITY_NS),
    ]
    silently = read(f"{INVOKE} {again} {{:process 0, :type :ok, :f :read, :value 2}}")
    assert [op.outcome for op in silently] == [Outcome.INFO, Outcome.OK]


def test_the_order_of_events_holds_where_times_contradict_it(read: Any) -> None:
    """Without times, and with times that run backwards, the file's order decides."""
    history = read("""{:process 0, :type :invoke, :f :write, :value 1, :time 50}
      {:process 0, :type :ok, :f :write, :value 1, :time 20}
      {:process 1, :type :invoke, :f :read, :value nil}
      {:process 1, :type :ok, :f :read, :value 1}""")
    write, seen = history
    assert write.invoke_ns < write.return_ns < seen.invoke_ns < seen.return_ns


def test_independent_tuples_are_keys(read: Any) -> None:
    """`jepsen.independent` puts the key into the value."""
    (op,) = read("{:process 0, :type :invoke, :f :write, :value #jepsen.independent/tuple [3 1]}")
    assert (op.key, op.value) == (3, 1)


def test_json_is_read_as_an_array_and_line_by_line(read: Any) -> None:
    """Both forms that elle-cli writes."""
    events = [
        '{"process": 0, "type": "invoke", "f": "cas", "value": [1, 2]}',
        '{"process": 0, "type": "fail", "f": "cas", "value": [1, 2], "error": "no"}',
    ]
    array = read(f"[{', '.join(events)}]", "jepsen-json")
    assert array == read("\n".join(events), "jepsen-json")
    (op,) = array
    assert (op.outcome, op.value, op.error) == (Outcome.FAIL, [1, 2], "no")


def test_etcd_logs_have_their_own_failures(read: Any) -> None:
    """A failed cas is a completed mismatch, a timed-out read is unknown, nil is a value."""
    text = """INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]
2015-01-01 12:00:00 something else
INFO  jepsen.util - 1\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:fail\t:cas\t[1 2]
INFO  jepsen.util - 1\t:fail\t:read\t:timed-out
INFO  jepsen.util - 2\t:invoke\t:write\t3
INFO  jepsen.util - 3\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:info\t:write\t:timed-out
INFO  jepsen.util - 3\t:ok\t:read\tnil
"""
    cas, lost, write, seen = read(text, "jepsen-log-text")
    assert (cas.outcome, cas.value, cas.result) == (Outcome.OK, [1, 2], False)
    assert lost.outcome is Outcome.INFO
    assert (write.outcome, write.value) == (Outcome.INFO, 3)
    assert (seen.outcome, seen.result) == (Outcome.OK, None)
    (slow,) = read("INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\n0\t:fail\t:cas\t[1 2]\t:timed-out\n", "jepsen-log-text")
    assert slow.outcome is Outcome.INFO, "whoever timed out knows nothing"


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_file_is_an_empty_history(read: Any, format: str) -> None:
    """A cluster that never started leaves one behind."""
    assert read("\n", format) == History()


@pytest.mark.parametrize(
    ("text", "format", "sentence"),
    [
        ("[1 2", "jepsen-edn", r"h, line 1: '\[' is never closed \(read as jepsen-edn\)"),
        ("[\n7]", "jepsen-edn", r"h, line 2: 7 is not an operation"),
        ("[{:type :ok}]", "jepsen-edn", r"h, line 1: an operation without process and f"),
        ("{:process 1 :type :odd :f :read}", "edn-lines", r"h, line 1: type 'odd' is not known; allowed: invoke, ok, fail, info"),
        ("{:process 1 :type :ok :f :read}", "jepsen-edn", r"h, line 1: process 1 ended 'read' \(ok\) without having invoked it"),
        (f"{INVOKE}\n{{:process 0 :type :ok :f :read}}", "jepsen-edn", r"h, line 2: process 0 invoked 'write' but ended 'read'"),
        ("\n{", "jepsen-json", r"h, line 2: not JSON"),
        ("[1,\n", "jepsen-json", r"h, line 2: not JSON"),
        ("hello\nworld", "jepsen-log-text", r"h, line 1: no line reads"),
        ("{}", "coordchaos-jsonl", None),
        ("{}\n", "coordchaos-jsonl", r"h, line 1: the first line must be"),
    ],
)
def test_what_is_no_history_is_said(read: Any, text: str, format: str, sentence: str | None) -> None:
    """One sentence: the file, the line, what was wrong."""
    if sentence is None:
        assert read(text, format) == History(), "a torn first line is a file that was just begun"
        return
    with pytest.raises(UnreadableHistory, match=sentence):
        read(text, format)


def test_files_that_cannot_be_opened_or_decoded(tmp_path: Path) -> None:
    """Missing, not text, and a format nobody knows."""
    with pytest.raises(UnreadableHistory, match="missing: cannot be read: No such file or directory"):
        read_history(tmp_path / "missing", "jepsen-edn")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableHistory, match="binary: not UTF-8 text at byte 0"):
        read_history(tmp_path / "binary", "jepsen-edn")
    with pytest.raises(UsageError, match=r"format 'xml' is not known; allowed: coordchaos-jsonl, jepsen-edn"):
        read_history(tmp_path / "missing", "xml")
