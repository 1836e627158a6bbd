"""From a compose file to a System: each instance of a service is a node, each port it is known to have a link."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_mounts import mounts_of
from pytest_coordchaos.system.compose_ports import exposed, linked_ports, published
from pytest_coordchaos.system.compose_project import Project, read_project
from pytest_coordchaos.system.compose_relations import Relations, relations_of
from pytest_coordchaos.system.compose_service import build_of, config_of, host_of, image_of
from pytest_coordchaos.system.model import Node, System
from pytest_coordchaos.system.port import Port
from pytest_coordchaos.system.readiness import Ready, ready_healthy
from pytest_coordchaos.system.recipe import Recipe

__all__ = ["system_from_compose"]

_READY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """What the caller adds to the file."""

    ports: Mapping[str, Sequence[Port]]
    ready: Mapping[str, Ready]
    publish: bool
    own_volumes: bool


def system_from_compose(
    path: str | Path,
    *,
    ports: Mapping[str, Sequence[Port]] | None = None,
    ready: Mapping[str, Ready] | None = None,
    profiles: Iterable[str] = (),
    publish: bool = True,
    volumes: str = "own",
    environ: Mapping[str, str] | None = None,
    **given: Any,
) -> System:
    """The System that a compose file describes.

    Args:
        path: The file, or a directory that holds one; relative to the working directory.
        ports: Service -> its ports with their protocols, each with the number it listens on. A port that is neither here nor
            under `ports` or `expose`, nor exposed by the image, cannot be reached from other services.
        ready: Service -> when it counts as ready; default: its health check says so, and its ports given here accept.
        profiles: Profiles to start, beside those of COMPOSE_PROFILES.
        publish: Clients' links listen on the host ports that the file publishes, on loopback.
        volumes: "own": the file's volumes are made anew for each cluster, and removed with it. "project": those of
            `docker compose up` are used, and never removed. External volumes are used as they are either way.
        environ: What variables are filled in from, over `.env`; None: the environment of this process.
        given: All else as for a System.

    Raises:
        UsageError: What is wrong, in which file, of which service and key.
    """
    project = read_project(path, os.environ if environ is None else environ)
    if volumes not in ("own", "project"):
        raise UsageError(f"from_compose: volumes={volumes!r} is not allowed; own, project")
    for what, named in (("ports", ports or {}), ("ready", ready or {})):
        for service in named:
            if service not in project.services:
                known = ", ".join(project.services)
                raise UsageError(f"from_compose: {what}= names service {service!r}, but {project.path} has: {known}")
    choices = _Choices(ports=ports or {}, ready=ready or {}, publish=publish, own_volumes=volumes == "own")
    relations = relations_of(project, profiles)
    nodes = {name: _node(project, relations, name, choices) for name in relations.nodes}
    lasting = [node for name, node in nodes.items() if name not in relations.jobs]
    if not lasting:
        raise UsageError(f"{project.path}: no service is left to be a node: all are of profiles not asked for, or run once")
    jobs = [node for name, node in nodes.items() if name in relations.jobs]
    defaults = {"name": project.name[:64], "ready_timeout_s": _READY_S}
    return System(**{**defaults, **given, "nodes": lasting, "jobs": jobs, "addresses": "shared"})


def _node(project: Project, relations: Relations, node: str, choices: _Choices) -> Node:
    """One instance of a service."""
    name, _ = relations.nodes[node]
    service, where = project.services[name], project.where(name)
    declared = choices.ports.get(name, ())
    open_to_host = published(service, where)
    numbers = [*exposed(service, where), *(one.target for one in open_to_host)]
    is_job = node in relations.jobs
    ports = () if is_job else linked_ports(declared, numbers, where)
    hosts = {one.target: one.host for one in open_to_host if one.host is not None and choices.publish}
    if hosts and relations.count(name) > 1:
        raise UsageError(f"{where}: {relations.count(name)} instances cannot share a host port; leave it out, or publish=False")
    publish = {port.name: hosts[port.number] for port in ports if port.number is not None and port.number in hosts}
    awaited = tuple(port.name for port in declared)
    recipe = _recipe(project, relations, node, publish, own_volumes=choices.own_volumes)
    return Node(
        node,
        image=recipe.image,
        ports=ports,
        ready=None if is_job else choices.ready.get(name) or ready_healthy(*awaited),
        recipe=recipe,
    )


def _recipe(
    project: Project, relations: Relations, node: str, publish: Mapping[str, tuple[str, int]], *, own_volumes: bool
) -> Recipe:
    name, _ = relations.nodes[node]
    service, where = project.services[name], project.where(name)
    image, pull = image_of(service, where)
    build = build_of(service, where)
    mounts = mounts_of(project, name, own_volumes=own_volumes)
    host = host_of(service, where)
    if mounts.tmpfs:
        host["Tmpfs"] = {**host.get("Tmpfs", {}), **mounts.tmpfs}
    return Recipe(
        image=image if build is None else f"coordchaos-compose/{project.name}-{name}".lower(),
        build=build,
        pull=pull,
        platform=str(service.get("platform") or ""),
        config=config_of(service, project.variables, where),
        host=host,
        mounts=tuple(mounts.mounts),
        volumes=mounts.volumes,
        names=relations.names(node),
        shared_names=relations.shared_names(node),
        networks=relations.networks[name],
        after=relations.after[node],
        publish=publish,
    )
