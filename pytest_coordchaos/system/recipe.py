"""How one node runs as a container when more is said of it than an image: pure data. Starts nothing, asks no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["After", "Build", "Mount", "MountKind", "Recipe"]


class After(StrEnum):
    """What a node waits for in another before it starts."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class MountKind(StrEnum):
    """What is mounted."""

    BIND = "bind"
    VOLUME = "volume"
    EXTERNAL = "external volume"
    ANONYMOUS = "anonymous volume"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How an image is built.

    Args:
        context: The directory (or URL) sent to the engine.
        dockerfile: Path of the Dockerfile, relative to the context.
        dockerfile_text: Its text, where it is written down in the compose file; then `dockerfile` does not count.
        args: Build arguments; None: taken from the runner's environment.
        options: More of the engine's build options, under the names of docker-py's `images.build`.
    """

    context: str
    dockerfile: str = "Dockerfile"
    dockerfile_text: str | None = None
    args: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something mounted into a container.

    Args:
        kind: What it is.
        source: BIND: an absolute path of the host. VOLUME, EXTERNAL: the volume's name (VOLUME: the project's own name for
            it). TEXT: the text. ANONYMOUS: "".
        target: Where in the container.
        read_only: It cannot be written to.
        create: Make the directory (BIND) or the volume (EXTERNAL) where it is missing.
        options: More of the engine's options of a mount (BindOptions, VolumeOptions).
        mode: TEXT: the file's mode.
    """

    kind: MountKind
    source: str
    target: str
    read_only: bool = False
    create: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    mode: int = 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the engine is asked for. Nothing in it is filled in or changed: what a compose file says, the engine gets.

    Args:
        image: The image; where there is a `build`, the tag of what it gives.
        build: How the image is built when it is not there.
        pull: When to pull: "missing", "always", "never", "build".
        platform: For pulling and building; "": the engine's own.
        config: The engine's container configuration under its own names (Cmd, Entrypoint, Env, User …).
        host: The engine's host configuration under its own names (CapAdd, Memory, Tmpfs …).
        mounts: What is mounted.
        volumes: Volume -> how it is made (Driver, DriverOpts, Labels), for those of kind VOLUME.
        names: DNS names under which other nodes find it.
        shared_names: Those of `names` that other instances of the same service have too.
        networks: It is linked with the nodes that share one of these.
        after: Node -> what must be so before this one starts.
        publish: Port name -> (host address, host port) at which clients outside expect it.
    """

    image: str
    build: Build | None = None
    pull: str = "missing"
    platform: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    shared_names: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset({"default"})
    after: Mapping[str, After] = field(default_factory=dict)
    publish: Mapping[str, tuple[str, int]] = field(default_factory=dict)
