"""From a node's recipe to what the engine is asked for; its image, where it is built. See `system.recipe`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.system.recipe import Build, Mount, MountKind, Recipe

if TYPE_CHECKING:
    import docker

__all__ = ["build", "payload", "written_texts"]

_BUILD_S = 3600
_TAIL_LINES = 12


def payload(
    recipe: Recipe,
    *,
    network: str,
    address: str,
    labels: Mapping[str, str],
    hosts: Iterable[tuple[str, str]],
    volumes: Mapping[str, str],
    texts: Mapping[str, Path],
) -> dict[str, Any]:
    """The body of the engine's `POST /containers/create`. Pure.

    Args:
        recipe: What the node is to be.
        network, address: Where it is connected. It has no names there: those lead to its ambassador.
        labels: Ours; they win over the recipe's.
        hosts: (name, address) that its own hosts file is to hold beside the recipe's.
        volumes: The recipe's name of a volume -> the engine's.
        texts: Target of a text -> the file of this machine that holds it.
    """
    host = dict(recipe.host)
    binds = [_bind(mount) for mount in recipe.mounts if mount.kind is MountKind.BIND and mount.create]
    mounts = [_mount(mount, volumes, texts) for mount in recipe.mounts if mount.kind is not MountKind.BIND or not mount.create]
    host["ExtraHosts"] = [*host.get("ExtraHosts", ()), *(f"{name}:{place}" for name, place in hosts)]
    return {
        **recipe.config,
        "Image": recipe.image,
        "Labels": {**recipe.config.get("Labels", {}), **labels},
        "HostConfig": {**host, "NetworkMode": network, "Binds": binds, "Mounts": mounts},
        "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}},
    }


def _bind(mount: Mount) -> str:
    """The short form, which makes a directory that is missing."""
    words = ["ro" if mount.read_only else "rw", *(str(word) for word in mount.options.values())]
    return f"{mount.source}:{mount.target}:{','.join(words)}"


def _mount(mount: Mount, volumes: Mapping[str, str], texts: Mapping[str, Path]) -> dict[str, Any]:
    shared = {"Target": mount.target, "ReadOnly": mount.read_only}
    if mount.kind is MountKind.TEXT:
        return {"Type": "bind", "Source": str(texts[mount.target]), **shared}
    if mount.kind is MountKind.BIND:
        options = {"BindOptions": {"Propagation": mount.options["propagation"]}} if "propagation" in mount.options else {}
        return {"Type": "bind", "Source": mount.source, **shared, **options}
    source = {} if mount.kind is MountKind.ANONYMOUS else {"Source": volumes.get(mount.source, mount.source)}
    return {"Type": "volume", **source, **shared, **({"VolumeOptions": dict(mount.options)} if mount.options else {})}


def written_texts(recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Write the texts that a recipe mounts as files; target -> file. Writing them again changes nothing."""
    files: dict[str, Path] = {}
    for index, mount in enumerate(mount for mount in recipe.mounts if mount.kind is MountKind.TEXT):
        directory.mkdir(parents=True, exist_ok=True)
        files[mount.target] = directory / f"text-{index}"
        if not files[mount.target].exists():
            files[mount.target].write_text(mount.source, encoding="utf-8")
            files[mount.target].chmod(mount.mode)
    return files


def build(client: docker.APIClient, tag: str, how: Build, scratch: Path) -> None:
    """Build an image with the engine's own builder; what is built already is taken from its cache.

    Args:
        tag: The name it gets.
        how: From what.
        scratch: A directory for a Dockerfile that is given as text.

    Raises:
        StartError: It cannot be built; with the last lines of the build.
    """
    dockerfile = how.dockerfile
    if how.dockerfile_text is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        file = scratch / f"Dockerfile-{time.monotonic_ns()}"
        file.write_text(how.dockerfile_text, encoding="utf-8")
        dockerfile = str(file)
    given = {key: os.environ.get(key) if value is None else value for key, value in how.args.items()}
    arguments = {key: value for key, value in given.items() if value is not None}
    said = ""
    try:
        lines = client.build(
            path=how.context, dockerfile=dockerfile, tag=tag, buildargs=arguments, rm=True, forcerm=True, decode=True,
            timeout=_BUILD_S, **how.options,
        )  # fmt: skip
        for line in lines:
            said += line.get("stream", "")
            if "error" in line:
                raise StartError(f"The image {tag} cannot be built: {line['error']}", tuple(said.splitlines()[-_TAIL_LINES:]))
    except (OSError, TypeError) as error:
        why = " ".join(str(getattr(error, "explanation", None) or error).split())
        raise StartError(f"The image {tag} cannot be built from {how.context}: {why}") from None
