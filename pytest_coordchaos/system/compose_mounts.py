"""What a compose service mounts: volumes, bind mounts, secrets and configs. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import check_keys
from pytest_coordchaos.system.compose_project import Project
from pytest_coordchaos.system.compose_values import boolean, entries, mapping, pairs, scalar, size_bytes, whole
from pytest_coordchaos.system.recipe import Mount, MountKind

__all__ = ["Mounts", "mounts_of"]

_MODES = {"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent", "rprivate", "private", "rshared", "shared"}


@dataclass(slots=True)
class Mounts:
    """All mounts of one service.

    Attributes:
        mounts: In the order given.
        volumes: The project's volumes among them -> how the engine makes them.
        tmpfs: Target -> options.
    """

    mounts: list[Mount] = field(default_factory=list)
    volumes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tmpfs: dict[str, str] = field(default_factory=dict)


def mounts_of(project: Project, name: str, *, own_volumes: bool) -> Mounts:
    """What a service mounts.

    Args:
        own_volumes: The project's volumes are made anew for the cluster; False: those of `docker compose up` are used.

    Raises:
        UsageError: A volume, secret or config is not declared, or its form is not supported.
    """
    service, where = project.services[name], project.where(name)
    found = Mounts()
    for item in entries(service.get("volumes"), f"{where}: volumes"):
        given = _from_short(scalar(item, where), where) if not isinstance(item, dict) else item
        check_keys(given, "volumes of a service", f"{where}: volumes {item!r}")
        _add(found, project, given, f"{where}: volumes {item!r}", own_volumes=own_volumes)
    for kind, directory in (("secrets", "/run/secrets"), ("configs", "/")):
        for item in entries(service.get(kind), f"{where}: {kind}"):
            found.mounts.append(_text_file(project, kind, directory, item, f"{where}: {kind} {item!r}"))
    return found


def _from_short(text: str, where: str) -> dict[str, Any]:
    """SOURCE:TARGET:MODE as a mapping; a path is a bind mount, a word a volume, a target alone an anonymous one."""
    source, target, mode, *more = (*text.split(":"), "", "")[:4]
    if not target:
        source, target = "", source
    modes = set(filter(None, mode.split(",")))
    if more != [""] * len(more) or modes - _MODES or not target.startswith("/"):
        raise UsageError(f"{where}: volumes {text!r} is not allowed; [SOURCE:]TARGET[:MODE], TARGET an absolute path")
    if source.startswith("/"):
        selinux = next(iter(modes & {"z", "Z"}), None)
        bind = {"create_host_path": True, **({"selinux": selinux} if selinux else {})}
        return {"type": "bind", "source": source, "target": target, "read_only": "ro" in modes, "bind": bind}
    volume = {"nocopy": "nocopy" in modes}
    return {"type": "volume", "source": source, "target": target, "read_only": "ro" in modes, "volume": volume}


def _add(found: Mounts, project: Project, given: Mapping[str, Any], where: str, *, own_volumes: bool) -> None:
    kind, target = given.get("type"), scalar(given.get("target", ""), where)
    source = scalar(given.get("source") or "", where)
    read_only = boolean(given.get("read_only", False), where)
    if not target.startswith("/"):
        raise UsageError(f"{where}: target {target!r} is not an absolute path")
    if kind == "bind":
        found.mounts.append(_bind(source, target, read_only, mapping(given.get("bind"), where), where))
    elif kind == "tmpfs":
        found.tmpfs[target] = _tmpfs_options(mapping(given.get("tmpfs"), where), where)
    elif kind == "volume":
        options = _volume_options(mapping(given.get("volume"), where), where)
        _add_volume(
            found,
            project,
            Mount(kind=MountKind.ANONYMOUS, source=source, target=target, read_only=read_only, options=options),
            where,
            own_volumes=own_volumes,
        )
    else:
        raise UsageError(f"{where}: type {kind!r} is not supported; allowed: bind, volume, tmpfs")


def _bind(source: str, target: str, read_only: bool, options: Mapping[str, Any], where: str) -> Mount:
    unknown = set(options) - {"create_host_path", "selinux", "propagation"}
    if unknown or not source.startswith("/"):
        raise UsageError(f"{where}: a bind mount takes an absolute source, and create_host_path, selinux, propagation")
    create = boolean(options.get("create_host_path", True), where)
    kept = {key: scalar(options[key], where) for key in ("selinux", "propagation") if options.get(key)}
    return Mount(kind=MountKind.BIND, source=source, target=target, read_only=read_only, create=create, options=kept)


def _tmpfs_options(options: Mapping[str, Any], where: str) -> str:
    if set(options) - {"size", "mode"}:
        raise UsageError(f"{where}: tmpfs takes size and mode")
    size = [f"size={size_bytes(options['size'], where)}"] if options.get("size") is not None else []
    mode = [f"mode={options['mode']:o}"] if isinstance(options.get("mode"), int) else []
    return ",".join([*size, *mode])


def _volume_options(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    if set(options) - {"nocopy", "subpath", "labels"}:
        raise UsageError(f"{where}: volume takes nocopy and subpath")
    found: dict[str, Any] = {"NoCopy": True} if boolean(options.get("nocopy", False), where) else {}
    return {**found, **({"Subpath": scalar(options["subpath"], where)} if options.get("subpath") else {})}


def _add_volume(found: Mounts, project: Project, mount: Mount, where: str, *, own_volumes: bool) -> None:
    """A volume by name: anonymous, one of the project's, or somebody else's."""
    name = mount.source
    if not name:
        found.mounts.append(mount)
        return
    if name not in project.volumes:
        known = ", ".join(project.volumes) or "none"
        raise UsageError(f"{where}: volume {name!r} is not declared under volumes; declared: {known}")
    declared = project.volumes[name]
    made = {
        "Driver": scalar(declared.get("driver") or "local", where),
        "DriverOpts": pairs(declared.get("driver_opts"), where),
        "Labels": pairs(declared.get("labels"), where),
    }
    external = declared.get("external")
    if external not in (None, False, "false"):
        real = external.get("name") if isinstance(external, dict) else declared.get("name")
        found.mounts.append(_renamed(mount, MountKind.EXTERNAL, scalar(real or name, where), create=False))
    elif own_volumes:
        found.volumes[name] = made
        found.mounts.append(_renamed(mount, MountKind.VOLUME, name, create=True))
    else:
        options = {**mount.options, "DriverConfig": {"Name": made["Driver"], "Options": made["DriverOpts"]}}
        real = scalar(declared.get("name") or f"{project.name}_{name}", where)
        found.mounts.append(_renamed(mount, MountKind.EXTERNAL, real, create=True, options=options))


def _renamed(mount: Mount, kind: MountKind, source: str, *, create: bool, options: Mapping[str, Any] | None = None) -> Mount:
    options = mount.options if options is None else options
    return Mount(kind=kind, source=source, target=mount.target, read_only=mount.read_only, create=create, options=options)


def _text_file(project: Project, kind: str, directory: str, item: Any, where: str) -> Mount:
    """A secret or config as a file in the container."""
    use = item if isinstance(item, dict) else {"source": scalar(item, where)}
    check_keys(use, "secrets and configs of a service", where)
    source = scalar(use.get("source", ""), where)
    declared = (project.secrets if kind == "secrets" else project.configs).get(source)
    if declared is None:
        raise UsageError(f"{where}: {source!r} is not declared under {kind}")
    target = posixpath.join(directory, scalar(use.get("target") or source, where))
    if declared.get("file") is not None:
        return Mount(kind=MountKind.BIND, source=declared["file"], target=target, read_only=True)
    if declared.get("environment") is not None:
        variable = scalar(declared["environment"], where)
        if variable not in project.variables:
            raise UsageError(f"{where}: variable {variable} is not set")
        text = project.variables[variable]
    elif declared.get("content") is not None:
        text = scalar(declared["content"], where)
    else:
        raise UsageError(f"{where}: {kind} {source!r} gives none of file, environment, content")
    return Mount(kind=MountKind.TEXT, source=text, target=target, read_only=True, mode=_mode(use.get("mode"), where))


def _mode(value: Any, where: str) -> int:
    """A file's mode: a number (YAML's 0440 is one), or a text of octal digits."""
    if value is None:
        return 0o444
    try:
        return int(value, 8) if isinstance(value, str) else whole(value, where)
    except ValueError:
        raise UsageError(f"{where}: mode {value!r} is not allowed; octal digits, as in 0440") from None
