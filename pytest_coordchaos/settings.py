"""Every option of the plugin, once, and which value of it counts. Pure; `options` asks pytest.

Which value counts: marker > flag > environment > ini > default. An empty environment variable
counts as not given.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pytest_coordchaos.errors import UsageError

__all__ = ["OPTIONS", "PROXIES", "RELAYS", "RUNTIMES", "SEED_MAX", "Option", "Settings", "Value", "decide"]

Value = bool | int | str | None
"""What an option can hold, as given or as decided."""

RUNTIMES = ("process", "docker", "sim", "auto")
"""Runtimes that `runtime=` may name; "" leaves the choice to what each System declares."""

PROXIES = ("relay", "toxiproxy")
"""Who may apply cuts and delays; the relay counts in any case."""

RELAYS = ("auto", "host", "container")
"""Where the relay of containers may run."""

SEED_MAX = 2**63 - 1
"""Largest seed: it must fit the signed 64-bit integers of every format it is written to."""


# No generated comparison and repr: every pytest run of the environment pays for making this class.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Option:
    """One option and every place where it may be given.

    Args:
        name: The field of `Settings`.
        flag, environment, ini: How the three places spell it.
        kind: "bool", "int" (0 to `SEED_MAX`), "choice", "path" or "text".
        default: The value when nobody gives one.
        choices: For "choice": the allowed words.
        metavar: What `--help` shows for the value.
        help: One sentence.
    """

    name: str
    flag: str
    environment: str
    ini: str
    kind: Literal["bool", "int", "choice", "path", "text"]
    default: Value = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    help: str

    @property
    def dest(self) -> str:
        """The flag's name in pytest's option namespace."""
        return f"coordchaos_{self.name}"

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        return {
            "bool": "true, false, yes, no, on, off, 1, 0",
            "int": f"a whole number from 0 to {SEED_MAX}",
            "choice": ", ".join(self.choices),
            "path": "a directory",
            "text": "a word",
        }[self.kind]


OPTIONS: tuple[Option, ...] = (
    Option(
        name="enabled",
        flag="--coordchaos",
        environment="COORDCHAOS",
        ini="coordchaos",
        kind="bool",
        default=False,
        help="Run the tests that need clusters; otherwise they are skipped.",
    ),
    Option(
        name="runtime",
        flag="--coordchaos-runtime",
        environment="COORDCHAOS_RUNTIME",
        ini="coordchaos_runtime",
        kind="choice",
        default="",
        choices=RUNTIMES,
        metavar="NAME",
        help=f"Where nodes run: {', '.join(RUNTIMES)}. Default: what each System declares.",
    ),
    Option(
        name="base_image",
        flag="--coordchaos-base-image",
        environment="COORDCHAOS_BASE_IMAGE",
        ini="coordchaos_base_image",
        kind="text",
        default="",
        metavar="IMAGE",
        help="An image with python3, on which our own images stand (runtime docker). Default: python:3-slim.",
    ),
    Option(
        name="relay",
        flag="--coordchaos-relay",
        environment="COORDCHAOS_RELAY",
        ini="coordchaos_relay",
        kind="choice",
        default="auto",
        choices=RELAYS,
        metavar="PLACE",
        help=f"Where the relay of containers runs: {', '.join(RELAYS)}. Default: auto (container, where the engine has another "
        "kernel).",
    ),
    Option(
        name="proxy",
        flag="--coordchaos-proxy",
        environment="COORDCHAOS_PROXY",
        ini="coordchaos_proxy",
        kind="choice",
        default="relay",
        choices=PROXIES,
        metavar="NAME",
        help=f"Who applies cuts and delays: {', '.join(PROXIES)} (a real server behind the relay). Default: relay.",
    ),
    Option(
        name="toxiproxy",
        flag="--coordchaos-toxiproxy",
        environment="COORDCHAOS_TOXIPROXY",
        ini="coordchaos_toxiproxy",
        kind="text",
        default="",
        metavar="SERVER",
        help="The Toxiproxy server: a program, HOST:PORT of one that runs, or image:NAME. Default: toxiproxy-server on PATH.",
    ),
    Option(
        name="seed",
        flag="--coordchaos-seed",
        environment="COORDCHAOS_SEED",
        ini="coordchaos_seed",
        kind="int",
        metavar="N",
        help="Seed of every plan, workload and relay of the run. Default: drawn once per run and printed.",
    ),
    Option(
        name="report",
        flag="--coordchaos-report",
        environment="COORDCHAOS_REPORT",
        ini="coordchaos_report",
        kind="path",
        metavar="DIR",
        help="Write each run's JSON report and history to DIR/<run id>/. Default: write nothing.",
    ),
    Option(
        name="keep",
        flag="--coordchaos-keep",
        environment="COORDCHAOS_KEEP",
        ini="coordchaos_keep",
        kind="bool",
        default=False,
        help="Keep the directories and logs of stopped clusters.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for this pytest run.

    Args:
        enabled: Tests that need clusters run.
        runtime: Where nodes run; "": what each System declares.
        base_image: The image on which our own stand; "": the default one.
        relay: Where the relay of containers runs.
        proxy: Who applies cuts and delays.
        toxiproxy: Where a Toxiproxy server is; "": `toxiproxy-server` on PATH.
        seed: The run's seed; the same in every worker.
        report: Directory for reports, absolute; None: none are written.
        keep: Directories and logs of stopped clusters stay.
        run_id: Names this pytest run in labels and paths; the same in every worker.
        command: Words that start this run again, but for the test.
        started_in, root: The directory pytest was started in; the one that node ids are relative to.
        origins: Option name -> where its value was given.
    """

    enabled: bool = False
    runtime: str = ""
    base_image: str = ""
    relay: str = "auto"
    proxy: str = "relay"
    toxiproxy: str = ""
    seed: int = 0
    report: Path | None = None
    keep: bool = False
    run_id: str = ""
    command: tuple[str, ...] = ("pytest", "--coordchaos")
    started_in: str = ""
    root: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    def seed_of(self, test: str, path: str) -> int:
        """The seed of one test: a hash of the run's seed and the test's name, so that a test run alone draws the same plan.

        Args:
            test: The test's node id.
            path: The test's file, absolute. The name of a file outside the root counts without its directory:
                its node id depends on how pytest was asked for it.
        """
        import hashlib

        relative = os.path.relpath(path, self.root or ".") if self._is_inside(path) else os.path.basename(path)
        name = relative.replace(os.sep, "/") + "::" + test.partition("::")[2]
        digest = hashlib.blake2b(f"{self.seed}\0{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def reproduce(self, test: str, path: str) -> str:
        """One shell command that runs a test again and draws the same plan.

        Args:
            test: The test's node id.
            path: The test's file, absolute.
        """
        _, colons, rest = test.partition("::")
        relative = os.path.relpath(path, self.started_in or ".")
        # Asked for a file outside of the root, pytest might choose another root, hence another seed.
        root = () if self._is_inside(path) else (f"--rootdir={self.root}",)
        return shlex.join((*self.command, *root, min(relative, path, key=len) + colons + rest))

    def _is_inside(self, path: str) -> bool:
        return os.path.relpath(path, self.root or ".").partition(os.sep)[0] != os.pardir

    def as_plain(self) -> dict[str, object]:
        """The settings as plain values, to send to a worker."""
        plain: dict[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        report = None if self.report is None else str(self.report)
        return {**plain, "report": report, "command": list(self.command), "origins": dict(self.origins)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Settings:
        """The settings that `as_plain` made."""
        values = dict(plain)
        report, command = values.pop("report"), values.pop("command")
        return cls(
            report=None if report is None else Path(str(report)),
            command=tuple(command),  # type: ignore[arg-type]  # as_plain made a list of words of it
            **values,  # type: ignore[arg-type]  # the other fields are plain already
        )


def decide(
    option: Option, *, flag: Value = None, environment: str | None = None, ini: Value = None, ini_place: str = "the ini file"
) -> tuple[Value, str]:
    """The value that counts, and where it was given.

    Args:
        option: The option.
        flag, environment, ini: Its value as each place gives it; None (or an empty text): not given there.
        ini_place: Names the file of the ini value.

    Raises:
        UsageError: The value that counts is not allowed: where it was given and what is allowed.
    """
    if flag is not None:
        return _parse(option, flag, f"{option.flag}={flag}"), option.flag
    if environment:
        return _parse(option, environment, f"{option.environment}={environment}"), option.environment
    if ini is not None and ini != "":
        place = f"{option.ini} in {ini_place}"
        return _parse(option, ini, f"{option.ini} = {ini} in {ini_place}"), place
    return option.default, "default"


_WORDS = {word: word in ("true", "yes", "on", "1") for word in ("true", "yes", "on", "1", "false", "no", "off", "0")}


def _parse(option: Option, value: Value, place: str) -> Value:
    """The value in the option's type; `place` is how it was given, for the message."""
    parsed: Value = None
    if option.kind == "bool":
        parsed = value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
    elif option.kind == "int":
        text = str(value).strip()
        parsed = int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= SEED_MAX else None
    elif option.kind == "choice":
        parsed = value if value in option.choices else None
    else:
        parsed = str(value) if str(value).strip() else None
    if parsed is None:
        raise UsageError(f"{place} is not allowed; allowed: {option.allowed}")
    return parsed
