"""The recorder: what is written survives a crash, what is recorded is what is read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

from pytest_coordchaos.errors import UnreadableHistory, UsageError
from pytest_coordchaos.history.model import INFINITY_NS, Outcome
from pytest_coordchaos.history.readers import read_history
from pytest_coordchaos.history.recorder import Recorder

FORMAT = "coordchaos-jsonl"


def recorder(path: Path | None = None) -> Recorder:
    """A recorder whose clock ticks once per look: 1, 2, 3 …"""
    ticks = count(1)
    return Recorder(path, lambda: next(ticks))


def filled(path: Path | None = None) -> Recorder:
    """One operation of each outcome, and one that is still open."""
    record = recorder(path)
    put = record.invoke(0, "put", "k", {"a": [1, None, True]}, intended_ns=0, node="n1")
    get = record.invoke(1, "get", "k", None, node="n2")
    record.ok(put, None)
    record.ok(get, "ä\n")
    cas = record.invoke(0, "cas", "k", [1, 2])
    record.fail(cas, "expected 1")
    record.info(record.invoke(1, "delete", "k", None), "TimeoutError")
    record.invoke(2, "put", "k", 3)
    return record


def test_operations_have_ids_from_one_and_times_of_the_clock() -> None:
    """Ids rise with invocation; latency runs from the intended start; info is open for ever."""
    put, get, cas, delete, still_open = filled().all()
    assert [op.id for op in (put, get, cas, delete, still_open)] == [1, 2, 3, 4, 5]
    assert (put.outcome, put.intended_ns, put.invoke_ns, put.return_ns, put.node) == (Outcome.OK, 0, 1, 3, "n1")
    assert (get.result, get.latency_ns) == ("ä\n", get.return_ns - get.invoke_ns)
    assert (cas.outcome, cas.error) == (Outcome.FAIL, "expected 1")
    assert (delete.outcome, delete.return_ns, delete.ended_ns, delete.error) == (Outcome.INFO, INFINITY_NS, 8, "TimeoutError")
    assert (still_open.outcome, still_open.return_ns) == (Outcome.INFO, INFINITY_NS)
    assert still_open.ended_ns > still_open.invoke_ns, "an open operation is given up now"


def test_what_is_read_is_what_was_recorded(tmp_path: Path) -> None:
    """The file holds the same operations as the memory; only the open one is given up at the last time seen."""
    path = tmp_path / "history.jsonl"
    record = filled(path)
    record.close()
    remembered = record.all().operations
    read = read_history(path, FORMAT).operations
    assert read[:-1] == remembered[:-1]
    assert (read[-1].id, read[-1].outcome, read[-1].return_ns) == (5, Outcome.INFO, INFINITY_NS)


def test_a_file_torn_anywhere_in_its_last_line_gives_every_whole_event(tmp_path: Path) -> None:
    """A crash loses at most the operations in flight: cut at every byte of the last line."""
    path = tmp_path / "history.jsonl"
    filled(path).close()
    data = path.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(data[:last])
    whole = read_history(torn, FORMAT)
    assert len(whole) == 4
    for size in range(last, len(data)):
        torn.write_bytes(data[:size])
        assert read_history(torn, FORMAT) == whole, size
    torn.write_bytes(data)
    assert len(read_history(torn, FORMAT)) == 5


def test_every_prefix_of_a_file_is_readable(tmp_path: Path) -> None:
    """Whenever the writer dies, what it wrote is a history."""
    path, torn = tmp_path / "history.jsonl", tmp_path / "torn.jsonl"
    filled(path).close()
    data = path.read_bytes()
    sizes = []
    for size in range(len(data) + 1):
        torn.write_bytes(data[:size])
        sizes.append(len(read_history(torn, FORMAT)))
    assert sizes == sorted(sizes)
    assert sizes[-1] == 5


def test_a_killed_process_leaves_its_events_behind(tmp_path: Path) -> None:
    """SIGKILL right after an event was recorded: it is in the file, nothing was buffered."""
    path = tmp_path / "history.jsonl"
    program = (
        "import os, pathlib, signal, sys, time\n"
        "from pytest_coordchaos.history.recorder import Recorder\n"
        "record = Recorder(pathlib.Path(sys.argv[1]), time.monotonic_ns)\n"
        "for number in range(100):\n"
        "    record.ok(record.invoke(0, 'put', 'k', number))\n"
        "record.invoke(0, 'put', 'k', 100)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], env=dict(os.environ), check=False, timeout=60)
    assert killed.returncode == -9
    outcomes = [op.outcome for op in read_history(path, FORMAT)]
    assert outcomes == [Outcome.OK] * 100 + [Outcome.INFO]


def test_histories_are_never_overwritten(tmp_path: Path) -> None:
    """A file that exists stays as it is."""
    path = tmp_path / "history.jsonl"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"history\.jsonl exists already; histories are never overwritten"):
        recorder(path)
    assert path.read_text() == "precious"


def test_many_threads_record_at_once(tmp_path: Path) -> None:
    """Blocking drivers run in threads: no line is torn, no id is given twice, and file order is time order."""
    path = tmp_path / "history.jsonl"
    record = recorder(path)
    barrier = threading.Barrier(8)

    def client() -> None:
        barrier.wait()
        process = record.next_process()
        for number in range(100):
            record.ok(record.invoke(process, "put", "k", number), None)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.close()
    read = read_history(path, FORMAT)
    assert read == record.all()
    assert sorted(op.id for op in read) == list(range(1, 801))
    assert {op.process for op in read} == set(range(8))


def test_an_answer_after_giving_up_changes_nothing() -> None:
    """Info stays info: the abandoned thread of a blocking driver may still answer."""
    record = recorder()
    number = record.invoke(0, "put", "k", 1)
    record.info(number, "timed out")
    record.ok(number, None)
    (op,) = record.all()
    assert (op.outcome, op.error) == (Outcome.INFO, "timed out")


def test_values_are_kept_as_they_were(tmp_path: Path) -> None:
    """A list that its owner changes later, and things JSON does not know, do not spoil the record."""
    path = tmp_path / "history.jsonl"
    record = recorder(path)
    asked = [1, 2]
    record.ok(record.invoke(0, "cas", "k", asked), {1, 2})
    record.ok(record.invoke(0, "put", (1, "k"), threading.Lock()), 2**100)
    asked.append(3)
    first, second = record.all()
    assert first.value == [1, 2]
    assert first.result == {1, 2}
    assert "lock" in second.value
    assert len(read_history(path, FORMAT)) == 2


def test_the_window_is_what_was_invoked_since() -> None:
    """`since_ns` is inclusive; earlier operations are left out."""
    record = filled()
    third = record.all().operations[2]
    assert [op.id for op in record.history(third.invoke_ns)] == [3, 4, 5]
    assert [op.id for op in record.history(third.invoke_ns + 1)] == [4, 5]


def test_process_numbers_are_fresh() -> None:
    """Never one that was handed out or used before."""
    record = recorder()
    assert [record.next_process() for _ in range(3)] == [0, 1, 2]
    record.invoke(7, "get", "k", None)
    assert record.next_process() == 8


def test_ending_what_was_never_invoked_is_said() -> None:
    """A wrong id is a mistake of the caller, not of the system under test."""
    with pytest.raises(UsageError, match=r"operation 3 was never invoked; ids run from 1 to 0"):
        recorder().ok(3)


def test_closed_twice_and_used_after(tmp_path: Path) -> None:
    """Closing is final for the file, harmless for the rest."""
    path = tmp_path / "history.jsonl"
    record = filled(path)
    record.close()
    size = path.stat().st_size
    record.close()
    record.ok(5, None)
    assert path.stat().st_size == size
    assert record.all().operations[-1].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"nonsense\n", r"line 2: not a JSON object"),
        (b'{"type":"ok","id":9,"time":1}\n', r"line 2: operation 9 ends \(ok\) but is not open"),
        (b'{"type":"later","id":9,"time":1}\n', r"line 2: type 'later' is not known; allowed: invoke, ok, fail, info"),
        (b'{"type":"ok","id":9}\n', r"line 2: field 'time' is None; wanted: int"),
    ],
)
def test_a_damaged_file_is_said_where(tmp_path: Path, line: bytes, sentence: str) -> None:
    """File, line and what was wrong."""
    path = tmp_path / "history.jsonl"
    recorder(path).close()
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(UnreadableHistory, match=rf"history\.jsonl, {sentence}"):
        read_history(path, FORMAT)
