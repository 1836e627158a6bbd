"""Installed and not switched on: what the plugin shows, skips and costs; and how to be rid of it."""

from __future__ import annotations

import json

import pytest

from tests.plugin.conftest import Suite

OFF = "coordchaos is off; switch it on with --coordchaos, or with `coordchaos = true` in the ini file"

REACHING = """
import pytest

@pytest.fixture(scope="module")
def shop(coordchaos):
    raise AssertionError("nothing may start")

def test_reaches_by_a_fixture(shop): pass
def test_reaches(coordchaos): pass
def test_reaches_late(request): request.getfixturevalue("coordchaos")
def test_demo(raft_kv): pass
@pytest.mark.coordchaos
def test_marked(): raise AssertionError
@pytest.mark.invariants("no such invariant")
def test_asks(): raise AssertionError
@pytest.mark.coordination_budget(p99_ms=1)
def test_limited(): raise AssertionError
def test_of_somebody_else(): pass

class TestUnit(__import__("unittest").TestCase):
    @pytest.mark.coordchaos
    def test_unit(self): raise AssertionError
"""


@pytest.mark.parametrize("args", [(), ("-n2",), ("-W", "error", "--strict-markers")], ids=["plain", "xdist", "strict"])
def test_what_needs_clusters_is_skipped_with_the_reason_and_nothing_else_is(suite: Suite, args: tuple[str, ...]) -> None:
    suite.file("test_reaching.py", REACHING)
    result = (suite.alone if args else suite.off)("-rs", *args)  # in this process, -W error meets what it imported before

    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, skipped=8)
    assert result.stdout.str().count(OFF) >= 1
    result.stdout.no_fnmatch_line("coordchaos: *")
    result.stdout.no_fnmatch_line("*= coordchaos =*")


@pytest.mark.parametrize(
    ("ini", "environment", "runs"),
    [
        ("coordchaos = true", None, True),
        ("coordchaos = true", "0", False),
        ("", "yes", True),
        ("coordchaos = false", None, False),
    ],
)
def test_the_ini_line_and_the_environment_switch_on(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, ini: str, environment: str | None, runs: bool
) -> None:
    suite.file("pytest.ini", f"[pytest]\nasyncio_default_fixture_loop_scope = function\n{ini}\n")
    suite.file("test_on.py", "def test_on(coordchaos): assert coordchaos.start")
    if environment:
        monkeypatch.setenv("COORDCHAOS", environment)

    suite.off().assert_outcomes(passed=int(runs), skipped=int(not runs))


def test_the_native_toml_table_switches_on(suite: Suite) -> None:
    """pytest 9 reads types from TOML; older ones read the same line in the older table."""
    table = "[tool.pytest]" if pytest.version_tuple >= (9, 0) else "[tool.pytest.ini_options]"
    suite.path.joinpath("pytest.ini").unlink(missing_ok=True)
    suite.path.joinpath("tox.ini").unlink(missing_ok=True)
    suite.file(
        "pyproject.toml", f'{table}\nasyncio_default_fixture_loop_scope = "function"\ncoordchaos = true\ncoordchaos_seed = "12"\n'
    )
    suite.file("test_on.py", "def test_on(coordchaos): assert coordchaos.start")
    result = suite.off()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["coordchaos: *, seed 12 (from coordchaos_seed in pyproject.toml), runtime as each system declares, proxy relay"]
    )


HELP = """\
coordchaos (a marker wins over a flag, a flag over COORDCHAOS_*, that over an ini line):
  --coordchaos          Run the tests that need clusters; otherwise they are skipped.
  --coordchaos-runtime=NAME
                        Where nodes run: process, docker, sim, auto. Default: what each System declares.
  --coordchaos-base-image=IMAGE
                        An image with python3, on which our own images stand (runtime docker). Default: python:3-slim.
  --coordchaos-relay=PLACE
                        Where the relay of containers runs: auto, host, container. Default: auto (container, where the \
engine has another kernel).
  --coordchaos-proxy=NAME
                        Who applies cuts and delays: relay, toxiproxy (a real server behind the relay). Default: relay.
  --coordchaos-toxiproxy=SERVER
                        The Toxiproxy server: a program, HOST:PORT of one that runs, or image:NAME. Default: \
toxiproxy-server on PATH.
  --coordchaos-seed=N   Seed of every plan, workload and relay of the run. Default: drawn once per run and printed.
  --coordchaos-report=DIR
                        Write each run's JSON report and history to DIR/<run id>/. Default: write nothing.
  --coordchaos-keep     Keep the directories and logs of stopped clusters."""

INI_HELP = """\
  coordchaos (bool):    Run the tests that need clusters; otherwise they are skipped.
  coordchaos_runtime (string):
                        Where nodes run: process, docker, sim, auto. Default: what each System declares.
  coordchaos_base_image (string):
                        An image with python3, on which our own images stand (runtime docker). Default: python:3-slim.
  coordchaos_relay (string):
                        Where the relay of containers runs: auto, host, container. Default: auto (container, where the \
engine has another kernel).
  coordchaos_proxy (string):
                        Who applies cuts and delays: relay, toxiproxy (a real server behind the relay). Default: relay.
  coordchaos_toxiproxy (string):
                        The Toxiproxy server: a program, HOST:PORT of one that runs, or image:NAME. Default: \
toxiproxy-server on PATH.
  coordchaos_seed (string):
                        Seed of every plan, workload and relay of the run. Default: drawn once per run and printed.
  coordchaos_report (string):
                        Write each run's JSON report and history to DIR/<run id>/. Default: write nothing.
  coordchaos_keep (bool):
                        Keep the directories and logs of stopped clusters."""

MARKERS = """\
@pytest.mark.coordchaos(*, nodes=None, faults=(), seconds=None, seed=None, runtime=None, proxy=None, allow_unknown=False): \
the test drives a cluster; fault words such as 'partition:halves' or 'pause:leader' are carried out during run(...). \
The closest marker wins, argument by argument.

@pytest.mark.invariants(*names, model=None, **options): what the recorded history must satisfy, such as 'linearizable'. \
Several markers add up.

@pytest.mark.coordination_budget(*, op=None, messages_per_op=None, bytes_per_op=None, p50_ms=None, p99_ms=None, \
background_messages_per_s=None, background_bytes_per_s=None): inclusive limits on what coordination may cost. \
Several markers add up."""


def test_help_and_markers_are_as_documented(suite: Suite) -> None:
    shown = suite.off("--help").stdout.str()

    assert HELP in shown
    assert INI_HELP in shown
    assert MARKERS in suite.off("--markers").stdout.str()


def test_the_limits_of_the_budget_marker_are_those_of_its_help() -> None:
    """plugin.py writes them out, because reading the table would cost every pytest run an import."""
    from pytest_coordchaos.cost.budgets import LIMITS

    assert f"op=None, {', '.join(f'{limit}=None' for limit in LIMITS)})" in MARKERS


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "xdist"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--coordchaos-seed=-1",), "--coordchaos-seed=-1 is not allowed; allowed: a whole number from 0 to 9223372036854775807"),
        (("--coordchaos-proxy=nginx",), "--coordchaos-proxy=nginx is not allowed; allowed: relay, toxiproxy"),
        (("--coordchaos-runtime=cloud",), "--coordchaos-runtime=cloud is not allowed; allowed: process"),
        (
            ("-o", "coordchaos=perhaps"),
            "coordchaos in tox.ini has a value that is not allowed; allowed: true, false, yes, no, on, off, 1, 0",
        ),
        (
            ("-o", "coordchaos_seed=x"),
            "coordchaos_seed = x in tox.ini is not allowed; allowed: a whole number from 0 to 9223372036854775807",
        ),
    ],
    ids=["seed", "proxy", "runtime", "ini bool", "ini seed"],
)
def test_a_wrong_value_is_a_usage_error_in_one_sentence(
    suite: Suite, args: tuple[str, ...], message: str, workers: tuple[str, ...]
) -> None:
    """Where it was given and what is allowed; exit code 4, before anything runs."""
    result = suite.file("test_one.py", "def test_one(): pass").off(*args, *workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {message}" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_a_report_directory_that_is_a_file_is_refused_at_once(suite: Suite) -> None:
    result = suite.file("taken", "").off("--coordchaos-report=taken")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: report directory *taken (from --coordchaos-report) is a file; allowed: a directory, *"])
    result = suite.off("--coordchaos-report=taken/below")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: report directory *taken/below (from --coordchaos-report) cannot be made or written to; *"]
    )


def test_blocking_the_plugin_leaves_nothing_of_it(suite: Suite) -> None:
    """`-p no:coordchaos` is the name users know: options, markers, fixtures and header go."""
    suite.file("conftest.py", "").file("test_one.py", "def test_one(coordchaos): pass\ndef test_two(raft_kv): pass")

    assert suite.off("-p", "no:coordchaos", "--coordchaos").ret == pytest.ExitCode.USAGE_ERROR
    assert "coordchaos" not in suite.off("-p", "no:coordchaos", "--markers", "--fixtures").stdout.str().partition("plugins:")[0]
    result = suite.off("-p", "no:coordchaos")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fixture 'coordchaos' not found", "*fixture 'raft_kv' not found"])


MODULES = """
import json, sys
def pytest_unconfigure(): open("modules.json", "w").write(json.dumps(sorted(sys.modules)))
"""
SYSTEMS = ("crdt_cart", "gossip_ring", "payments_2pc", "raft_kv")
CHEAP = {
    "pytest_coordchaos",
    "pytest_coordchaos.errors",
    "pytest_coordchaos.hookspecs",
    "pytest_coordchaos.options",
    "pytest_coordchaos.plugin",
    "pytest_coordchaos.settings",
    "reference_systems",
    "reference_systems.crdt_cart",
    "reference_systems.crdt_cart.fixtures",
    "reference_systems.fixtures",
    "reference_systems.payments_2pc",
    "reference_systems.payments_2pc.fixtures",
    *(f"reference_systems.{system}" for system in SYSTEMS),
    *(f"reference_systems.{system}.fixtures" for system in SYSTEMS),
}


def test_switched_off_it_imports_only_its_own_light_modules(suite: Suite) -> None:
    """No loop, no network client, no container SDK: every pytest run of the environment would pay for them."""
    suite.file("conftest.py", MODULES).file("test_reaching.py", REACHING)

    def modules(*args: str) -> set[str]:
        suite.alone("--collect-only", "-q", *args)
        return set(json.loads((suite.path / "modules.json").read_text()))

    assert modules() - modules("-p", "no:coordchaos") == CHEAP
