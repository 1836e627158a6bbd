"""Options: which value counts, what is allowed, and what is said of the rest."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.settings import OPTIONS, SEED_MAX, Option, Settings, Value, decide

BY_NAME = {option.name: option for option in OPTIONS}
SEED, ENABLED, RUNTIME, REPORT = (BY_NAME[name] for name in ("seed", "enabled", "runtime", "report"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"flag": "1", "environment": "2", "ini": "3"}, (1, "--coordchaos-seed")),
        ({"environment": "2", "ini": "3"}, (2, "COORDCHAOS_SEED")),
        ({"ini": "3", "ini_place": "tox.ini"}, (3, "coordchaos_seed in tox.ini")),
        ({}, (None, "default")),
        ({"environment": "", "ini": ""}, (None, "default")),
        ({"flag": "0", "environment": "2"}, (0, "--coordchaos-seed")),
    ],
)
def test_the_closest_place_counts(given: dict[str, str], expected: tuple[Value, str]) -> None:
    """flag > environment > ini > default; an empty text is not given, a zero is."""
    assert decide(SEED, **given) == expected


def test_a_value_that_does_not_count_is_not_checked() -> None:
    """A wrong ini line must not stop a run that overrides it."""
    assert decide(SEED, flag="4", ini="nonsense") == (4, "--coordchaos-seed")


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", " on "])
def test_words_for_true(text: str) -> None:
    assert decide(ENABLED, environment=text) == (True, "COORDCHAOS")


@pytest.mark.parametrize("text", ["0", "false", "No", "OFF"])
def test_words_for_false(text: str) -> None:
    """A false in the environment counts: it switches off what the ini file switches on."""
    assert decide(ENABLED, environment=text, ini=True) == (False, "COORDCHAOS")


@pytest.mark.parametrize(
    ("option", "given", "message"),
    [
        (SEED, {"flag": "abc"}, f"--coordchaos-seed=abc is not allowed; allowed: a whole number from 0 to {SEED_MAX}"),
        (SEED, {"environment": "-1"}, f"COORDCHAOS_SEED=-1 is not allowed; allowed: a whole number from 0 to {SEED_MAX}"),
        (SEED, {"flag": "1.5"}, f"--coordchaos-seed=1.5 is not allowed; allowed: a whole number from 0 to {SEED_MAX}"),
        (SEED, {"flag": "²"}, f"--coordchaos-seed=² is not allowed; allowed: a whole number from 0 to {SEED_MAX}"),
        (RUNTIME, {"flag": "dokcer"}, "--coordchaos-runtime=dokcer is not allowed; allowed: process, docker, sim, auto"),
        (
            RUNTIME,
            {"ini": "k8s", "ini_place": "pytest.ini"},
            "coordchaos_runtime = k8s in pytest.ini is not allowed; allowed: process, docker, sim, auto",
        ),
        (ENABLED, {"environment": "maybe"}, "COORDCHAOS=maybe is not allowed; allowed: true, false, yes, no, on, off, 1, 0"),
        (REPORT, {"flag": " "}, "--coordchaos-report=  is not allowed; allowed: a directory"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(option: Option, given: dict[str, str], message: str) -> None:
    """Where it was given, and what is allowed."""
    with pytest.raises(UsageError) as refused:
        decide(option, **given)

    assert str(refused.value) == message


def test_the_largest_seed_is_allowed_and_one_more_is_not() -> None:
    assert decide(SEED, flag=str(SEED_MAX))[0] == SEED_MAX
    with pytest.raises(UsageError):
        decide(SEED, flag=str(SEED_MAX + 1))


def test_every_option_has_four_places_of_its_own() -> None:
    for places in zip(
        *((option.name, option.flag, option.environment, option.ini, option.dest) for option in OPTIONS), strict=True
    ):
        assert len(set(places)) == len(OPTIONS)
    assert all(option.flag.startswith("--coordchaos") and option.environment.startswith("COORDCHAOS") for option in OPTIONS)


def test_a_tests_seed_follows_from_the_runs_seed_and_its_own_name_only() -> None:
    """Pinned: a release that changes it would no longer replay older failures."""
    one, other = ("test_a.py::test_x", "/proj/test_a.py"), ("test_a.py::test_y", "/proj/test_a.py")
    settings = Settings(seed=7, root="/proj")

    assert settings.seed_of(*one) == Settings(seed=7, root="/proj", keep=True).seed_of(*one) == 2849250913315953022
    assert len({settings.seed_of(*one), settings.seed_of(*other), Settings(seed=8, root="/proj").seed_of(*one)}) == 3
    assert all(0 <= settings.seed_of(f"::{number}", "/proj/a") <= SEED_MAX for number in range(1000))


def test_a_tests_seed_does_not_depend_on_how_a_file_outside_the_root_was_asked_for() -> None:
    """`--pyargs demo` and a path give one test two node ids."""
    settings = Settings(seed=7, root="/proj")

    assert settings.seed_of("test_a.py::test_x", "/lib/demo/test_a.py") == settings.seed_of("::test_x", "/lib/demo/test_a.py")


def test_settings_survive_the_way_to_a_worker() -> None:
    """Only plain values travel between xdist's processes."""
    settings = Settings(
        enabled=True, seed=5, report=Path("/tmp/reports"), run_id="r", command=("pytest", "-c", "x"), origins={"seed": "drawn"}
    )

    assert Settings.from_plain(json.loads(json.dumps(settings.as_plain()))) == settings
    assert Settings.from_plain(Settings().as_plain()) == Settings()


def test_the_command_names_the_test_from_where_pytest_was_started() -> None:
    settings = Settings(command=("pytest", "--coordchaos", "--coordchaos-seed=3"), started_in="/proj/sub", root="/proj")

    assert settings.reproduce("tests/test_a.py::test_x", "/proj/tests/test_a.py") == (
        "pytest --coordchaos --coordchaos-seed=3 ../tests/test_a.py::test_x"
    )


def test_the_command_is_one_shell_word_where_the_test_id_has_blanks() -> None:
    settings = Settings(command=("pytest",), started_in="/proj", root="/proj")
    command = settings.reproduce("test_a.py::test_x[a b$'c]", "/proj/test_a.py")

    assert shlex.split(command) == ["pytest", "test_a.py::test_x[a b$'c]"]


def test_the_command_names_the_root_where_pytest_would_guess_another() -> None:
    """A test outside the root (`--pyargs`) has another id, hence another seed, under another root."""
    settings = Settings(command=("pytest",), started_in="/proj", root="/proj")
    command = settings.reproduce("../lib/demo/test_a.py::test_x", "/lib/demo/test_a.py")

    assert command == "pytest --rootdir=/proj /lib/demo/test_a.py::test_x"
