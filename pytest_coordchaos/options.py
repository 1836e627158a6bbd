"""The plugin's options, asked of pytest. What they are and which value counts: `settings`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.settings import OPTIONS, Option, Settings, Value, decide

if TYPE_CHECKING:
    import pytest

__all__ = ["read", "register"]


def register(parser: pytest.Parser) -> None:
    """Tell pytest's parser of every flag and ini line. Defaults are None, or the ini value could never count."""
    group = parser.getgroup(
        "coordchaos", "coordchaos (a marker wins over a flag, a flag over COORDCHAOS_*, that over an ini line)"
    )
    for option in OPTIONS:
        if option.kind == "bool":
            group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
        else:
            group.addoption(option.flag, dest=option.dest, metavar=option.metavar, default=None, help=option.help)
        kind: Literal["bool", "string"] = "bool" if option.kind == "bool" else "string"
        parser.addini(option.ini, option.help, type=kind, default=None)


def read(config: pytest.Config) -> Settings:
    """The settings of a pytest run (an xdist worker is sent those of its controller instead).

    Raises:
        UsageError: A value is not allowed: where it was given and what is allowed.
    """
    decided = {option.name: _decided(config, option) for option in OPTIONS}
    if decided["seed"][0] is None:
        decided["seed"] = (_drawn_seed(), "drawn")
    values = {name: value for name, (value, _) in decided.items()}
    origins = {name: place for name, (_, place) in decided.items()}
    return Settings(
        enabled=bool(values["enabled"]),
        runtime=str(values["runtime"]),
        base_image=str(values["base_image"]),
        relay=str(values["relay"]),
        proxy=str(values["proxy"]),
        toxiproxy=str(values["toxiproxy"]),
        seed=int(values["seed"] or 0),
        report=_directory(config, values["report"], origins["report"]),
        keep=bool(values["keep"]),
        run_id=_new_run_id(),
        command=_command([os.fspath(arg) for arg in config.invocation_params.args], values, origins),
        started_in=str(config.invocation_params.dir),
        root=str(config.rootpath),
        origins=origins,
    )


def _decided(config: pytest.Config, option: Option) -> tuple[Value, str]:
    place = config.inipath.name if config.inipath else "the ini options"
    try:
        ini: Value = config.getini(option.ini)
    except Exception:  # TypeError, ValueError or pytest's UsageError: it depends on pytest's version and the file's format
        raise UsageError(f"{option.ini} in {place} has a value that is not allowed; allowed: {option.allowed}") from None
    return decide(
        option,
        flag=config.getoption(option.dest),
        environment=os.environ.get(option.environment),
        ini=ini,
        ini_place=place,
    )


def _directory(config: pytest.Config, value: Value, origin: str) -> Path | None:
    """A flag or variable is relative to where pytest was started, an ini line to its file, as pytest's own are."""
    if value is None:
        return None
    from_ini = not origin.startswith(("--", "COORDCHAOS"))
    base = config.inipath.parent if from_ini and config.inipath else config.invocation_params.dir
    directory = Path(os.path.normpath(base / str(value)))
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"report directory {directory} (from {origin}) is a file; allowed: a directory, or a name still free")
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        raise UsageError(f"report directory {directory} (from {origin}) cannot be made or written to; allowed: one that can")
    return directory


_CARRIED = ("-p", "-c", "-o", "--rootdir", "--config-file", "--override-ini", "--import-mode", "--confcutdir")


def _command(args: Sequence[str], values: Mapping[str, Value], origins: Mapping[str, str]) -> tuple[str, ...]:
    """What must be said again so that the same test is found and draws the same plan."""
    words = ["pytest", *_carried(args), "--coordchaos", f"--coordchaos-seed={values['seed']}"]
    given = [
        name
        for name in ("runtime", "base_image", "relay", "proxy", "toxiproxy")
        if values[name] and origins[name].startswith(("--", "COORDCHAOS"))
    ]
    return (*words, *(f"--coordchaos-{name.replace('_', '-')}={values[name]}" for name in given))


def _carried(args: Sequence[str]) -> list[str]:
    """The words of a command line that decide which plugins and which ini file are read."""
    kept: list[str] = []
    rest = iter(args)
    for word in rest:
        short = not word.startswith("--") and word[:2] in _CARRIED
        if word in _CARRIED:
            kept += [word, next(rest, "")]
        elif short or word.partition("=")[0] in _CARRIED:
            kept.append(word)
    return kept


def _drawn_seed() -> int:
    """A seed from the system's entropy, short enough to type."""
    return int.from_bytes(os.urandom(4), "big")


def _new_run_id() -> str:
    """A name for one pytest run: sortable by time, unique among runs of a machine."""
    import time

    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + os.urandom(3).hex()
