"""pytest's hooks: parse, delegate, attach. No logic, and nothing heavy is imported before a test needs it.

Every pytest run of an environment pays for this module, so it imports pytest alone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_coordchaos.conductor import Conductor
    from pytest_coordchaos.session import Session
    from pytest_coordchaos.settings import Settings

_MARKERS = ("coordchaos", "invariants", "coordination_budget")
_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
_CONDUCTOR: pytest.StashKey[Conductor] = pytest.StashKey()
_OFF = "coordchaos is off; switch it on with --coordchaos, or with `coordchaos = true` in the ini file"
_HELP = (
    "coordchaos(*, nodes=None, faults=(), seconds=None, seed=None, runtime=None, proxy=None, allow_unknown=False): "
    "the test drives a cluster; fault words such as 'partition:halves' or 'pause:leader' are carried out during run(...). "
    "The closest marker wins, argument by argument.",
    "invariants(*names, model=None, **options): what the recorded history must satisfy, such as 'linearizable'. "
    "Several markers add up.",
    "coordination_budget(*, op=None, messages_per_op=None, bytes_per_op=None, p50_ms=None, p99_ms=None, "
    "background_messages_per_s=None, background_bytes_per_s=None): inclusive limits on what coordination may cost. "
    "Several markers add up.",
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer our own hooks."""
    from pytest_coordchaos import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer flags and ini lines."""
    from pytest_coordchaos.options import register

    register(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, read the settings (a worker takes the controller's), and offer the reference systems' fixtures."""
    for line in _HELP:
        config.addinivalue_line("markers", line)
    sent = getattr(config, "workerinput", {}).get("coordchaos")
    if sent is None:
        config.stash[_SETTINGS] = _read_settings(config)
    else:
        from pytest_coordchaos.settings import Settings

        config.stash[_SETTINGS] = Settings.from_plain(sent)
    _offer_reference_systems(config.pluginmanager)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Send the settings to an xdist worker: one that drew its own seed would draw other plans."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]  # an xdist WorkerController
    node.workerinput["coordchaos"] = config.stash[_SETTINGS].as_plain()  # type: ignore[attr-defined]  # as above


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what still runs."""
    conductor = config.stash.get(_CONDUCTOR, None)
    if conductor is not None:
        conductor.close()


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line, when switched on."""
    settings = config.stash[_SETTINGS]
    if not settings.enabled or config.get_verbosity() < 0:
        return None
    from pytest_coordchaos.report.terminal import header

    return header(settings)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a cluster when they are off; else check its markers and open its window."""
    if not _needs_cluster(item):
        return
    if not item.config.stash[_SETTINGS].enabled:
        pytest.skip(_OFF)
    _conductor(item.config).begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge inside the call phase, where xfail, --pdb and JUnit see it; what failed already gets the verdict as a note."""
    try:
        result = yield
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        conductor = item.config.stash.get(_CONDUCTOR, None)
        found = conductor.conclude(item, error) if conductor and not isinstance(error, pytest.exit.Exception) else None
        if found is not None:
            error.add_note(str(found))
        raise
    conductor = item.config.stash.get(_CONDUCTOR, None)
    found = conductor.conclude(item, None) if conductor else None
    if found is not None:
        raise found
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Close the window of a test that never got to its call."""
    conductor = item.config.stash.get(_CONDUCTOR, None)
    if conductor is not None:
        conductor.abandon(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of all runs, on the controller; never raises."""
    if hasattr(config, "workerinput") or not config.stash[_SETTINGS].enabled:
        return
    from pytest_coordchaos.report.summary import write_summary

    quiet = config.get_verbosity() < 0 or bool(config.getoption("no_summary", False))
    write_summary(terminalreporter, config.stash[_SETTINGS], quiet=quiet)


def pytest_coordchaos_reporters(config: pytest.Config) -> dict[str, object] | None:
    """The reporter that writes the files of --coordchaos-report."""
    settings = config.stash[_SETTINGS]
    if settings.report is None:
        return None
    from functools import partial

    from pytest_coordchaos.report.json_report import write

    return {"json": partial(write, directory=settings.report, run_id=settings.run_id, seed=settings.seed)}


@pytest.fixture(scope="session")
def coordchaos(pytestconfig: pytest.Config) -> Generator[Session]:
    """Starts clusters: `with coordchaos.start(system) as cluster: ...`. Tests that reach it are skipped unless switched on."""
    if not pytestconfig.stash[_SETTINGS].enabled:
        pytest.skip(_OFF)
    conductor = _conductor(pytestconfig)
    yield conductor.session
    conductor.close()


def _read_settings(config: pytest.Config) -> Settings:
    from pytest_coordchaos.errors import UsageError
    from pytest_coordchaos.options import read

    try:
        return read(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _offer_reference_systems(pluginmanager: pytest.PytestPluginManager) -> None:
    from importlib import import_module

    try:
        fixtures = import_module("reference_systems.fixtures")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("reference_systems"):
            raise
        return  # a project with a package of that name hides ours; it loses our fixtures, not its test run
    pluginmanager.register(fixtures, "coordchaos-reference-systems")


def _needs_cluster(item: pytest.Item) -> bool:
    return "coordchaos" in getattr(item, "fixturenames", ()) or any(mark.name in _MARKERS for mark in item.iter_markers())


def _conductor(config: pytest.Config) -> Conductor:
    """The process's conductor, made at the first test that needs one."""
    if _CONDUCTOR not in config.stash:
        from pytest_coordchaos.conductor import Conductor

        worker: str = getattr(config, "workerinput", {}).get("workerid", "main")
        config.stash[_CONDUCTOR] = Conductor(config, config.stash[_SETTINGS], worker)
    return config.stash[_CONDUCTOR]


def renew(config: pytest.Config, seed: int, reproduce: str) -> None:
    """End what runs; the next test has a new session, this seed, and this command to reproduce it."""
    if _CONDUCTOR in config.stash:
        config.stash[_CONDUCTOR].close()
        del config.stash[_CONDUCTOR]
    _conductor(config).pinned = (seed, reproduce)
