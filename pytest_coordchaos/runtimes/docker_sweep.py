"""Nothing stays with the engine: labels on everything, a sweep of what dead sessions left, and the reaper's other end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.runtimes import docker_reaper, labels
from pytest_coordchaos.runtimes.docker_engine import Engine

if TYPE_CHECKING:
    import docker

__all__ = ["Reaper", "docker_labels", "remove", "remove_network", "sweep"]

OWNER, RUN, NODE = docker_reaper.LABEL, "coordchaos.run", "coordchaos.node"
_REAPER = Path(docker_reaper.__file__)
_REAPER_S = 90.0
_LET_GO_S = 3.0


def docker_labels(run_id: str) -> dict[str, str]:
    """What every container, network and volume of a run carries."""
    return {RUN: run_id, OWNER: labels.owner_of_this_process()}


def sweep(client: docker.APIClient) -> list[str]:
    """Remove what carries the label of a dead owner, and nothing else; returns the names of what was removed.

    What the engine does not give up stays for the next sweep. An owner whose death cannot be known from here (another host,
    boot or PID namespace behind the same engine) lives.
    """
    by_label = {"label": OWNER}
    dead: dict[str, bool] = {}
    left: list[str] = []

    def doomed(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        owners = [(item, (item.get("Labels") or {}).get(OWNER, "")) for item in items]
        for _, owner in owners:
            dead.setdefault(owner, labels.is_dead(owner))
        return [item for item, owner in owners if dead[owner]]

    for item in doomed(client.containers(all=True, filters=by_label)):
        name = (item.get("Names") or [item["Id"]])[0].lstrip("/")
        left += [name] if _gone(partial(client.remove_container, item["Id"], force=True, v=True)) else []
    for item in doomed(client.networks(filters=by_label)):
        left += [item["Name"]] if _gone(partial(client.remove_network, item["Id"])) else []
    for item in doomed(client.volumes(filters=by_label)["Volumes"] or ()):
        left += [item["Name"]] if _gone(partial(client.remove_volume, item["Name"], force=True)) else []
    return left


def remove(client: docker.APIClient, containers: Iterable[str], networks: Iterable[str], volumes: Iterable[str] = ()) -> None:
    """Remove containers by force, then networks and volumes; what the engine does not give up is left to the reaper."""
    for id in containers:
        _gone(partial(client.remove_container, id, force=True, v=True))
    for id in networks:
        _gone(partial(client.remove_network, id))
    for name in volumes:
        _gone(partial(client.remove_volume, name, force=True))


def remove_network(client: docker.APIClient, id: str) -> bool:
    """Remove a network whose containers are gone; False: the engine still counts some of them as connected.

    It may do so for a moment. Engines before version 25 can lose count when many containers come and go at once; such a
    network, which carries nothing, can be removed only after the engine was started again.
    """
    deadline = time.monotonic() + _LET_GO_S
    while not _gone(partial(client.remove_network, id)) and client.networks(ids=[id]):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


class Reaper:
    """The process that removes what this session leaves, should it be killed. Started before anything is made.

    Args:
        engine: Whose containers.
        log: File for what it writes.
    """

    def __init__(self, engine: Engine, log: Path) -> None:
        self._pid = os.getpid()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(_REAPER),
                    engine.address.replace("http+unix", "unix"),
                    labels.owner_of_this_process(),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, **labels.labels(""), labels.ROLE: labels.WATCHDOG},
                start_new_session=True,
            )

    def close(self) -> None:
        """Let it look once more, and end. Idempotent; nothing in a forked child."""
        if os.getpid() != self._pid or self._process.stdin is None or self._process.stdin.closed:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(docker_reaper.DONE)
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPER_S)


def _gone(remove: Callable[[], object]) -> bool:
    """Remove something; False where it is not there any more, or the engine will not or cannot remove it now."""
    import docker.errors

    try:
        remove()
    except docker.errors.APIError:
        return False
    return True
