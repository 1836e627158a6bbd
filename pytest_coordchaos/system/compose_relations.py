"""How the services of a compose project stand to each other: instances, names, networks, who waits for whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import check_keys
from pytest_coordchaos.system.compose_project import Project
from pytest_coordchaos.system.compose_values import boolean, mapping, one_of, scalar, texts, whole
from pytest_coordchaos.system.recipe import After

__all__ = ["Relations", "relations_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """Every instance that is to run, and what it has to do with the others.

    Args:
        nodes: Node -> (service, instance from 1), in the file's order.
        aliases: Service -> names it is known by beside its own.
        networks: Service -> the networks it is on.
        after: Node -> node -> what it waits for in it.
        jobs: Nodes that run once, because somebody waits for their end.
        project: The project's name.
    """

    nodes: Mapping[str, tuple[str, int]]
    aliases: Mapping[str, tuple[str, ...]]
    networks: Mapping[str, frozenset[str]]
    after: Mapping[str, Mapping[str, After]]
    jobs: frozenset[str]
    project: str

    def count(self, service: str) -> int:
        """How many instances a service has."""
        return sum(one == service for one, _ in self.nodes.values())

    def names(self, node: str) -> tuple[str, ...]:
        """All DNS names of an instance: the service's, its aliases, and those of the instance alone."""
        service, instance = self.nodes[node]
        own = (f"{service}-{instance}", f"{self.project}-{service}-{instance}")
        return tuple(dict.fromkeys([service, *self.aliases[service], *own]))

    def shared_names(self, node: str) -> frozenset[str]:
        """The names that other instances of its service have too."""
        service, _ = self.nodes[node]
        return frozenset((service, *self.aliases[service]) if self.count(service) > 1 else ())


def relations_of(project: Project, profiles: Iterable[str]) -> Relations:
    """What the services of the chosen profiles have to do with each other.

    Raises:
        UsageError: A service or network that is not there, a circle of dependencies, a name that cannot be had.
    """
    started = _started(project, profiles)
    counts = {name: _count(project, name) for name in started}
    nodes = {
        name if count == 1 else f"{name}-{instance}": (name, instance)
        for name, count in counts.items()
        for instance in range(1, count + 1)
    }
    waits = {name: _dependencies(project, name, counts) for name in started}
    _check_no_circle(project, waits)
    ended = {other for waited in waits.values() for other, after in waited.items() if after is After.COMPLETED}
    return Relations(
        nodes=nodes,
        aliases=_aliases(project, counts),
        networks={name: frozenset(_networks(project, name)) for name in started},
        after={
            node: {other: waits[name][service] for other, (service, _) in nodes.items() if service in waits[name]}
            for node, (name, _) in nodes.items()
        },
        jobs=frozenset(node for node, (name, _) in nodes.items() if name in ended),
        project=project.name,
    )


def _started(project: Project, profiles: Iterable[str]) -> list[str]:
    """Services without profiles, and those of a profile asked for, in the file's order."""
    if isinstance(profiles, str):
        raise UsageError(f"from_compose: profiles={profiles!r} is one text; a list of names is allowed")
    asked = {*profiles, *filter(None, project.variables.get("COMPOSE_PROFILES", "").split(","))}
    chosen = []
    for name, service in project.services.items():
        own = texts(service.get("profiles"), f"{project.where(name)}: profiles")
        if not own or "*" in asked or asked & set(own):
            chosen.append(name)
    return chosen


def _count(project: Project, name: str) -> int:
    service, where = project.services[name], project.where(name)
    deploy = mapping(service.get("deploy"), f"{where}: deploy")
    mode = deploy.get("mode", "replicated")
    if mode not in ("replicated", "global"):
        raise UsageError(f"{where}: deploy.mode {mode!r} is not supported; replicated, global")
    given = service.get("scale", deploy.get("replicas"))
    count = 1 if given is None or mode == "global" else whole(given, f"{where}: scale")
    if count < 0:
        raise UsageError(f"{where}: scale {count} is not allowed; from 0")
    if count > 1 and service.get("container_name"):
        raise UsageError(f"{where}: container_name cannot name {count} instances; leave it out")
    return count


def _dependencies(project: Project, name: str, counts: Mapping[str, int]) -> dict[str, After]:
    """Service -> what is waited for in it; those with no instance are left out."""
    where = f"{project.where(name)}: depends_on"
    found = {_link(item)[0]: After.STARTED for item in texts(project.services[name].get("links"), where)}
    given: Any = project.services[name].get("depends_on")
    waited = mapping(given, where) if isinstance(given, dict) else dict.fromkeys(texts(given, where))
    for other, item in waited.items():
        rule = mapping(item, f"{where}.{other}")
        check_keys(rule, "depends_on", f"{where}.{other}")
        if other in counts or boolean(rule.get("required", True), f"{where}.{other}.required"):
            allowed = {after.value: after for after in After}
            found[other] = one_of(rule.get("condition", "service_started"), allowed, f"{where}.{other}.condition")
    for other in found:
        if other not in counts:
            why = "it is of a profile that was not asked for" if other in project.services else "there is no such service"
            raise UsageError(f"{where}: it waits for {other!r}, but {why}")
    return found


def _check_no_circle(project: Project, waits: Mapping[str, Mapping[str, After]]) -> None:
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        raise UsageError(f"{project.path}: services wait for each other in a circle: {' -> '.join(error.args[1])}") from None


def _networks(project: Project, name: str) -> list[str]:
    where, given = f"{project.where(name)}: networks", project.services[name].get("networks")
    names = list(given) if isinstance(given, dict) else texts(given, where)
    for one in names:
        if one != "default" and one not in project.networks:
            raise UsageError(
                f"{where}: {one!r} is not declared under networks; declared: {', '.join(project.networks) or 'none'}"
            )
    return names or ["default"]


def _aliases(project: Project, counts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {name: {} for name in counts}
    for name in counts:
        service, where = project.services[name], project.where(name)
        if service.get("container_name"):
            found[name][scalar(service["container_name"], f"{where}: container_name")] = None
        networks = service.get("networks")
        for network, item in networks.items() if isinstance(networks, dict) else ():
            place = f"{where}: networks.{network}"
            rule = mapping(item, place)
            check_keys(rule, "networks of a service", place)
            found[name].update(dict.fromkeys(texts(rule.get("aliases"), f"{place}.aliases")))
        for item in texts(service.get("links"), f"{where}: links"):
            other, alias = _link(item)
            found.get(other, {})[alias] = None
    return {name: tuple(alias for alias in aliases if alias != name) for name, aliases in found.items()}


def _link(item: str) -> tuple[str, str]:
    service, _, alias = item.partition(":")
    return service, alias or service
