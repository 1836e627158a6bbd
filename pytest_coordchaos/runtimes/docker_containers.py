"""Containers of ours: what they are made of, and one thread each that keeps the log and hears of the end."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.runtimes.base import NodeSpec
from pytest_coordchaos.runtimes.docker_engine import Engine, EngineError

if TYPE_CHECKING:
    import docker

__all__ = ["Container", "Death", "archive", "container_of", "create", "exit_status_of", "follow", "read_text"]

_NANO = 1_000_000_000
_MIB = 1 << 20
_HIGHEST_SIGNAL = 64
_SIGKILL = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What is to be made.

    Args:
        name: Its name with the engine.
        image: Of what; `command` empty: what the image runs by itself.
        network, address, aliases: Where it is connected, and under which names others find it.
        labels: Whose it is.
        hosts: Names it has in its own hosts file.
        directory: Where it works; "": where the image says.
        mounts: Directory outside -> directory inside.
        volumes: Name of a volume -> directory inside.
        publish: (port, "tcp" or "udp") -> where it is to be reached, on the engine's machine; port 0 there: any free one.
        user: Who it runs as; "": as the image says.
        sees_processes: It sees all processes of the engine's machine, under their numbers there.
        cpus: How many processors it may use at most; None: all.
        memory_mb: MiB of memory it may use at most, swap included; None: all.
        program: It is our own helper: it gets no rights and cannot write but to its mounts.
        body: All that the engine is to be asked for, where a recipe says more than can be said here; None: what is said here.
    """

    name: str
    image: str
    network: str
    address: str
    labels: Mapping[str, str]
    command: Sequence[str] = ()
    aliases: Sequence[str] = ()
    hostname: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    publish: Mapping[tuple[int, str], tuple[str, int]] = field(default_factory=dict)
    user: str = ""
    sees_processes: bool = False
    cpus: float | None = None
    memory_mb: int | None = None
    program: bool = False
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """How a container ended."""

    status: int
    out_of_memory: bool
    words: str


def container_of(spec: NodeSpec, *, name: str, network: str, address: str, labels: Mapping[str, str]) -> Container:
    """The container of a node."""
    return Container(
        name=name,
        image=spec.image,
        command=spec.argv,
        network=network,
        address=address,
        labels=labels,
        # An engine may answer for host names as for names of containers; a name that leads to a link must not be one.
        hostname=f"{spec.name}-node" if spec.name in spec.hosts else spec.name,
        env=spec.env,
        hosts=spec.hosts,
        directory=str(spec.directory),
        cpus=spec.cpus,
        memory_mb=spec.memory_mb,
    )


def create(client: docker.APIClient, container: Container) -> str:
    """Make the container, labelled, not started; returns its id."""
    if container.body is not None:
        return str(client.create_container_from_config(dict(container.body), container.name)["Id"])
    endpoint = client.create_endpoint_config(ipv4_address=container.address, aliases=list(container.aliases))
    made = client.create_container(
        container.image,
        command=list(container.command) or None,
        entrypoint=[] if container.command and container.program else None,
        name=container.name,
        hostname=container.hostname or None,
        environment=dict(container.env),
        labels=dict(container.labels),
        ports=list(container.publish) or None,
        user=container.user or None,
        working_dir=container.directory or None,
        networking_config=client.create_networking_config({container.network: endpoint}),
        host_config=client.create_host_config(**_host_config(container)),
    )
    return str(made["Id"])


def _host_config(container: Container) -> dict[str, Any]:
    from docker.types import Mount

    config: dict[str, Any] = {"network_mode": container.network, "extra_hosts": dict(container.hosts)}
    config["mounts"] = [Mount(inside, outside, type="bind") for outside, inside in container.mounts.items()]
    config["mounts"] += [Mount(inside, volume, type="volume") for volume, inside in container.volumes.items()]
    if container.publish:
        config["port_bindings"] = {
            f"{port}/{transport}": (host, number or None) for (port, transport), (host, number) in container.publish.items()
        }
    if container.sees_processes:
        config["pid_mode"] = "host"
    if container.cpus is not None:
        config["nano_cpus"] = round(container.cpus * _NANO)
    if container.memory_mb is not None:
        config["mem_limit"] = config["memswap_limit"] = container.memory_mb * _MIB
    if container.program:
        config |= {"cap_drop": ["ALL"], "read_only": True, "security_opt": ["label=disable", "no-new-privileges"]}
    return config


def archive(directory: str, files: Mapping[str, str]) -> bytes:
    """A tar, to be unpacked at the root, of a directory that every user may write to and of text files in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        place = directory.strip("/")
        parents = {
            "/".join(f"{place}/{name}".split("/")[:depth])
            for name in files
            for depth in range(2, f"{place}/{name}".count("/") + 1)
        }
        for folder in sorted({place, *(parent for parent in parents if parent.startswith(place))}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"{place}/{name}")
            entry.size, entry.mode = len(data), 0o666
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def read_text(client: docker.APIClient, id: str, path: str) -> str | None:
    """A text file of a container; None: there is none, or it was being replaced. It may be cut short by that too."""
    from docker.errors import NotFound

    try:
        chunks, _ = client.get_archive(id, path)
    except NotFound:
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            (entry,) = tar.getmembers()
            file = tar.extractfile(entry)
            return None if file is None else file.read().decode()
    except tarfile.TarError:
        return None


def follow(engine: Engine, id: str, log: Path, on_death: Callable[[Death], None]) -> None:
    """Attach to a container that is about to start: append what it prints to the log until it has ended, then tell how.

    The attaching is done when this returns; the rest is a thread's.

    Args:
        on_death: Called in that thread.

    Raises:
        EngineError: It cannot be attached to.
    """
    attached = threading.Event()
    problem: list[EngineError] = []

    def run() -> None:
        try:
            stream = engine.call(lambda client: client.attach_socket(id, {"stdout": 1, "stderr": 1, "stream": 1}))
        except EngineError as error:
            problem.append(error)
            return
        finally:
            attached.set()
        try:
            _copy(stream, log)
        finally:
            on_death(_death_of(engine, id))
            engine.release()

    threading.Thread(target=run, name=f"coordchaos-log-{log.stem}", daemon=True).start()
    attached.wait()
    if problem:
        raise problem[0]


def _copy(stream: Any, log: Path) -> None:
    """What both output streams bring, until their end."""
    from docker.utils.socket import frames_iter

    try:
        with contextlib.suppress(OSError), log.open("ab", buffering=0) as file:
            for _, chunk in frames_iter(stream, tty=False):
                file.write(chunk)
    finally:
        stream._response.close()  # the SDK keeps it there; it owns the socket


def exit_status_of(code: int) -> int:
    """An engine's exit code as an exit status: 128 + n stands for the signal n, which is -n here."""
    return 128 - code if 128 < code <= 128 + _HIGHEST_SIGNAL else code


def _death_of(engine: Engine, id: str) -> Death:
    def ask(client: docker.APIClient) -> dict[str, Any]:
        client.wait(id, timeout=None)  # it may have closed its output and live on
        state: dict[str, Any] = client.inspect_container(id)["State"]
        return state

    try:
        state = engine.call(ask)
    except EngineError:
        return Death(-_SIGKILL, False, "")  # it was removed, or the engine is gone: in both cases it was ended by force
    return Death(exit_status_of(int(state["ExitCode"])), bool(state["OOMKilled"]), str(state.get("Error") or ""))
