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

__all__ = ["Choices", "system_from_compose"]

_READY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the caller adds to the file; see `System.from_compose`."""

    ports: Mapping[str, Sequence[Port]]
    ready: Mapping[str, Ready]
    profiles: Iterable[str]
    publish: bool
    volumes: str
    environ: Mapping[str, str] | None


def system_from_compose(path: str | Path, choices: Choices, given: Mapping[str, Any]) -> System:
    """The System that a compose file describes, with what is given for a System beside its nodes.

    Raises:
        UsageError: What is wrong, in which file, of which service and key.
    """
    project = read_project(path, os.environ if choices.environ is None else choices.environ)
    if choices.volumes not in ("own", "project"):
        raise UsageError(f"from_compose: volumes={choices.volumes!r} is not allowed; own, project")
    for what, named in (("ports", choices.ports), ("ready", choices.ready)):
        for service in named:
            if service not in project.services:
                known = ", ".join(project.services)
                raise UsageError(f"from_compose: {what}= names service {service!r}, but {project.path} has: {known}")
    relations = relations_of(project, choices.profiles)
    nodes = {name: _node(project, relations, name, choices) for name in relations.nodes}
    lasting = [node for name, node in nodes.items() if name not in relations.jobs]
    if not lasting:
        raise UsageError(f"{project.path}: no service is left to be a node: all are of profiles not asked for, or run once")
    jobs = [node for name, node in nodes.items() if name in relations.jobs]
    defaults = {"name": project.name[:64], "ready_timeout_s": _READY_S}
    return System(**{**defaults, **given, "nodes": lasting, "jobs": jobs, "addresses": "shared"})


def _node(project: Project, relations: Relations, node: str, choices: Choices) -> Node:
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
    publish = {port.name: hosts[key] for port in ports if (key := (port.number, port.transport)) in hosts}
    awaited = tuple(port.name for port in declared if port.accepts)
    recipe = _recipe(project, relations, node, publish, own_volumes=choices.volumes == "own")
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
