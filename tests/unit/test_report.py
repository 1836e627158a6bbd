"""What is said of runs: the failure text, the summary table, and the properties between them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_coordchaos.report.failure import failure_text, run_text, verdict_of
from pytest_coordchaos.report.properties import Row, properties_of, rows_of
from pytest_coordchaos.report.terminal import budget_cell, header, seed_line, table
from pytest_coordchaos.run import Figures, Run, RunFault
from pytest_coordchaos.settings import Settings
from pytest_coordchaos.verdicts import Status, Verdict

LINEARIZABLE = Verdict(name="linearizable", status=Status.HELD, summary="linearizable held: 120 operations on 3 keys")
STALE = Verdict(
    name="linearizable",
    status=Status.VIOLATED,
    summary="linearizable violated: key k1 was read as 3 after 4 had been written",
    details=("client 2 put k1=4 ok, 0.10 s to 0.20 s", "client 5 get k1 -> 3 ok, 0.30 s to 0.31 s"),
)
OVER = Verdict(
    name="messages_per_op[put]",
    status=Status.VIOLATED,
    summary="messages_per_op exceeded: 15.2 > 12 messages (put, node-to-node)",
    details=("Largest: n1->n2 append 6.1/op, n1->n3 append 6/op",),
    kind="budget",
    measured=15.2,
    limit=12,
    unit="messages",
)
UNSEEN = Verdict(
    name="p99_ms", status=Status.UNKNOWN, summary="p99_ms unknown: no operation ended", kind="budget", limit=5, unit="ms"
)
RUN = Run(
    test="tests/test_kv.py::test_survives",
    system="raft_kv",
    runtime="process",
    nodes=3,
    workload="register",
    seed=99,
    start_ns=5_000_000_000,
    end_ns=7_500_000_000,
    faults=(
        RunFault(id="1", words="partition {n1} | {n2,n3}", start_ns=5_520_000_000, end_ns=6_200_000_000, note="leader was n1"),
        RunFault(id="2", words="pause n2", start_ns=7_000_000_000, verified=False, note="still answers"),
    ),
    figures=Figures(operations=120, ok=110, fail=2, info=8, messages_per_op=15.23, p99_ms=41.26),
    verdicts=(LINEARIZABLE, OVER),
    reproduce="pytest --coordchaos --coordchaos-seed=7 tests/test_kv.py::test_survives",
)

FAILURE = """\
messages_per_op exceeded: 15.2 > 12 messages (put, node-to-node)
  Largest: n1->n2 append 6.1/op, n1->n3 append 6/op
Run: raft_kv, 3 nodes, runtime process, workload register; 120 operations (110 ok, 2 fail, 8 info) in 2.50 s
Faults:
  partition {n1} | {n2,n3}, 0.52 s to 1.20 s (leader was n1)
  pause n2, 2.00 s to the end; NOT VERIFIED: still answers
Seed: 7
Reproduce: pytest --coordchaos --coordchaos-seed=7 tests/test_kv.py::test_survives"""


def said(*verdicts: Verdict, allow_unknown: bool = False) -> str:
    return failure_text([replace(RUN, verdicts=verdicts)], seed=7, allow_unknown=allow_unknown)


def test_a_failure_says_what_is_wrong_then_the_circumstances_then_how_to_see_it_again() -> None:
    assert failure_text([RUN], seed=7, allow_unknown=False) == FAILURE


def test_nothing_is_said_when_nothing_is_wrong() -> None:
    assert said(LINEARIZABLE) == ""
    assert said(LINEARIZABLE, UNSEEN, allow_unknown=True) == ""


def test_violations_come_before_what_is_unknown_and_held_ones_are_left_out() -> None:
    lines = said(UNSEEN, LINEARIZABLE, STALE).splitlines()

    assert lines[:4] == [STALE.summary, *(f"  {detail}" for detail in STALE.details), UNSEEN.summary]
    assert LINEARIZABLE.summary not in lines


def test_only_a_failure_by_unknowns_offers_to_allow_them() -> None:
    assert said(UNSEEN).endswith("\nAllow: @pytest.mark.coordchaos(allow_unknown=True)")
    assert "Allow:" not in said(UNSEEN, STALE)


def test_where_there_are_several_runs_each_verdict_names_its_own() -> None:
    second = replace(RUN, verdicts=(STALE,), workload="bank")
    text = failure_text([replace(RUN, verdicts=(LINEARIZABLE,)), second], seed=7, allow_unknown=False)

    assert text.splitlines()[0] == f"{STALE.summary} (run 2 of 2, workload bank)"
    assert text.count("Run: ") == 1


def test_long_lists_of_faults_are_cut_and_say_so() -> None:
    many = replace(RUN, faults=tuple(RunFault(id=str(i), words=f"pause n{i}", start_ns=RUN.start_ns) for i in range(11)))
    text = failure_text([many], seed=7, allow_unknown=False)

    assert "  pause n7, 0.00 s to the end\n  ...and 3 more\nSeed: 7" in text


def test_a_run_is_named_in_a_line() -> None:
    """Its records can be megabytes, and pytest shows what an assertion compared."""
    assert repr(replace(RUN, verdicts=())).startswith(f"<Run of {RUN.system}: unknown, ")
    assert len(repr(RUN)) < 100


def test_a_failure_says_where_the_files_of_its_cluster_lie() -> None:
    text = failure_text([replace(RUN, directory="/tmp/x/kv-1")], seed=7, allow_unknown=False)

    assert "\nFiles: /tmp/x/kv-1\nSeed: 7" in text


def test_a_fault_from_before_the_run_to_after_it_has_no_negative_time() -> None:
    around = RunFault(id="by hand", words="pause n1", start_ns=RUN.start_ns - 1, end_ns=RUN.end_ns + 1)

    assert "  pause n1, the start to the end\n" in failure_text([replace(RUN, faults=(around,))], seed=7, allow_unknown=False)


def test_notes_are_shown() -> None:
    assert "Notes:\n  n3 exited by itself with status 1" in run_text(replace(RUN, notes=("n3 exited by itself with status 1",)))


@pytest.mark.parametrize(
    ("verdicts", "allow_unknown", "expected"),
    [
        ((LINEARIZABLE,), False, Status.HELD),
        ((), False, Status.HELD),
        ((LINEARIZABLE, UNSEEN), False, Status.UNKNOWN),
        ((LINEARIZABLE, UNSEEN), True, Status.HELD),
        ((UNSEEN, STALE), True, Status.VIOLATED),
    ],
)
def test_the_worst_verdict_decides_and_unknown_can_be_allowed(
    verdicts: tuple[Verdict, ...], allow_unknown: bool, expected: Status
) -> None:
    """Violated fails whatever the marker allows."""
    assert verdict_of([replace(RUN, verdicts=verdicts)], allow_unknown=allow_unknown) is expected


ROW = Row(
    test=RUN.test,
    operations=120,
    ok=110,
    fail=2,
    info=8,
    messages_per_op=15.23,
    p99_ms=41.26,
    faults=2,
    faults_verified=1,
    invariants=(("linearizable", "held"),),
    budgets=(("messages_per_op[put]", "violated", 15.2, 12.0),),
)


def test_properties_carry_every_row_of_the_summary() -> None:
    """They are all that crosses from an xdist worker to its controller."""
    second = replace(RUN, verdicts=(STALE, OVER, OVER, UNSEEN), figures=Figures(), faults=())

    assert rows_of(RUN.test, properties_of([RUN, second], seed=7)) == [
        ROW,
        Row(
            test=RUN.test,
            invariants=(("linearizable", "violated"),),
            budgets=(
                ("messages_per_op[put]", "violated", 15.2, 12.0),
                ("messages_per_op[put]#2", "violated", 15.2, 12.0),
                ("p99_ms", "unknown", None, 5.0),
            ),
        ),
    ]


def test_properties_are_plain_values_under_our_prefix() -> None:
    """Anything but strings and numbers would kill an xdist worker."""
    properties = properties_of([RUN, RUN], seed=7)

    assert all(key.startswith("coordchaos.") and type(value) in (str, int, float) for key, value in properties)
    assert len({key for key, _ in properties}) == len(properties)
    assert {
        "coordchaos.seed": 7,
        "coordchaos.operations": 120,
        "coordchaos.messages_per_op": 15.23,
        "coordchaos.invariant.linearizable": "held",
        "coordchaos.budget.messages_per_op[put].limit": 12,
        "coordchaos.2.operations": 120,
    }.items() <= dict(properties).items()


def test_other_peoples_properties_make_no_rows() -> None:
    assert rows_of("t", [("owner", "me"), ("coordchaosish", 1)]) == []


def test_the_table_has_a_line_per_run_in_columns() -> None:
    assert table([ROW, Row(test="t")], width=160) == [
        "test                             operations (ok/fail/info)  messages/op  p99 ms  faults  invariants         budget",
        "tests/test_kv.py::test_survives  120 (110/2/8)              15.2         41.3    1/2     "
        "linearizable held  messages_per_op[put] violated 15.2 > 12",
        "t                                0 (0/0/0)                  -            -       -       -                  -",
    ]


def test_a_narrow_terminal_gets_verdicts_on_lines_of_their_own() -> None:
    """Numbers stay in their columns, and a long test name loses its beginning."""
    lines = table([ROW, Row(test="t")], width=80)

    assert lines == [
        "test                      operations (ok/fail/info)  messages/op  p99 ms  faults",
        "..._kv.py::test_survives  120 (110/2/8)              15.2         41.3    1/2",
        "    invariants: linearizable held",
        "    budget: messages_per_op[put] violated 15.2 > 12",
        "t                         0 (0/0/0)                  -            -       -",
    ]
    assert max(map(len, lines)) <= 80


def test_no_rows_make_no_table() -> None:
    assert table([], width=80) == []


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (("p99_ms", "held", 8.0249, 12.0), "p99_ms held 8.02 <= 12"),
        (("p99_ms", "held", 12.0, 12.0), "p99_ms held 12 <= 12"),
        (("p99_ms", "violated", 12.0004, 12.0), "p99_ms violated 12.0004 > 12"),
        (("p99_ms", "unknown", None, 12.0), "p99_ms unknown"),
        (("p99_ms", "unknown", 3.0, 12.0), "p99_ms unknown"),
    ],
)
def test_a_budgets_numbers_never_contradict_its_verdict(budget: tuple[str, str, float | None, float], expected: str) -> None:
    assert budget_cell(*budget) == expected


def test_header_and_seed_line_say_where_the_seed_is_from() -> None:
    drawn = Settings(enabled=True, seed=7, origins={"seed": "drawn"})
    given = Settings(
        enabled=True, seed=7, runtime="process", origins={"seed": "COORDCHAOS_SEED", "runtime": "--coordchaos-runtime"}
    )

    assert header(drawn).endswith(", seed 7 (drawn), runtime as each system declares, proxy relay")
    assert header(given).endswith(", seed 7 (from COORDCHAOS_SEED), runtime process (from --coordchaos-runtime), proxy relay")
    assert seed_line(7, "drawn") == "seed 7 (drawn for this run); the same plans again: --coordchaos-seed=7"
