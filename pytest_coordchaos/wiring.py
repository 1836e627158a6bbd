"""From a System and addresses to link specifications and node specifications. Pure but for `sys`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pytest_coordchaos.cost.ledger import LinkId
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.relay.control_client import LinkSpec
from pytest_coordchaos.runtimes.base import Address, NodeSpec
from pytest_coordchaos.system.model import CLIENTS, Node, System
from pytest_coordchaos.system.placeholders import NodeView, render

__all__ = ["Home", "Layout", "Reach", "edges", "link_specs", "node_specs", "process_home"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Who listens where.

    Args:
        bind: (node, port) -> where the node itself listens.
        listen: Link -> where its relay listener is to be; port 0: the relay chooses.
        hosts: Node -> its private hosts file; empty where addresses are per node.
        relay_source: Local address the relay dials nodes from.
        reach: Nodes that have a network of their own -> how they are reached.
        sources: Link -> addresses of its diallers, where links listen on one address.
    """

    bind: Mapping[tuple[str, str], Address]
    listen: Mapping[LinkId, Address]
    hosts: Mapping[str, Mapping[str, str]]
    relay_source: str
    reach: Mapping[str, Reach] = field(default_factory=dict)
    sources: Mapping[LinkId, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a node that has a network of its own is reached.

    Args:
        door: The ambassador's UNIX socket: links to the node listen behind it, and the relay dials from there.
        host: The node's address there.
        ours: Addresses there that are the relay's.
    """

    door: str
    host: str
    ours: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What a System's nodes find where they run.

    Args:
        root: Directory below which each has its own.
        python: The interpreter of `entry` nodes.
        library: Directory where it finds their modules; "": it knows.
        images: Node -> container image; empty where nodes are processes.
    """

    root: Path
    python: str
    library: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


def process_home(system: System, root: Path) -> Home:
    """A home on this machine. UsageError: there is no module `host`."""
    return Home(root=root, python=sys.executable, library=_package_parent(system.host) if system.entry else "")


def edges(system: System) -> list[LinkId]:
    """Every directed link of a system: node to node, job to node, clients to node, for each port of the target."""
    sources = [node.name for node in system.everyone]
    pairs = [(source, target) for source in sources for target in system.node_names if system.linked(source, target)]
    pairs += [(CLIENTS, name) for name in system.node_names]
    return [LinkId(source, target, port.name) for source, target in pairs for port in system.ports_of(target)]


def link_specs(system: System, layout: Layout) -> list[LinkSpec]:
    """What the relay must be told to make the links of a system."""
    doors = {name: reach.door for name, reach in layout.reach.items()}
    return [
        LinkSpec(
            link=link,
            listen=layout.listen[link],
            upstream=layout.bind[link.target, link.port],
            upstream_source=layout.relay_source,
            protocol=system.port(link.target, link.port).protocol,
            classes=system.port(link.target, link.port).classes,
            transport=system.port(link.target, link.port).transport,
            listen_door="" if link.source == CLIENTS else doors.get(link.target, ""),
            dial_door=doors.get(link.target, ""),
            sources=layout.sources.get(link, ()),
        )
        for link in edges(system)
    ]


def node_specs(system: System, layout: Layout, links: Mapping[LinkId, Address], home: Home, seed: int) -> dict[str, NodeSpec]:
    """Everything needed to start each node, placeholders filled in."""
    return {node.name: _node_spec(system, node, layout, links, home, seed) for node in system.everyone}


def _node_spec(system: System, node: Node, layout: Layout, links: Mapping[LinkId, Address], home: Home, seed: int) -> NodeSpec:
    directory = home.root / node.name
    hosts, image = dict(layout.hosts.get(node.name, {})), home.images.get(node.name, "")
    if node.recipe is not None:
        argv = [*(node.recipe.config.get("Entrypoint") or ()), *(node.recipe.config.get("Cmd") or ())]
        return NodeSpec(name=node.name, argv=argv, directory=directory, hosts=hosts, image=image, recipe=node.recipe)
    view = _node_view(system, node.name, layout, links, directory)
    env = {key: render(value, view, where=f"env[{key!r}]") for key, value in {**system.env, **node.env}.items()}
    files = {path: render(text, view, where=f"files[{path!r}]") for path, text in system.files.items()}
    if system.entry is not None:
        files["node.json"] = json.dumps(_node_json(system, node.name, layout, links, directory, seed), indent=1)
        if home.library:
            env.setdefault("PYTHONPATH", home.library)
        argv = [home.python, "-S", "-m", system.host, system.entry, str(directory / "node.json")]
    else:
        argv = [render(word, view, where="command") for word in node.command or system.command or ()]
    return NodeSpec(
        name=node.name,
        argv=argv,
        directory=directory,
        env=env,
        files=files,
        hosts=hosts,
        listens=tuple(view.bind.values()),
        image=image,
        cpus=system.cpus,
        memory_mb=system.memory_mb,
    )


def _node_view(system: System, name: str, layout: Layout, links: Mapping[LinkId, Address], directory: Path) -> NodeView:
    shared = system.addresses == "shared"
    bind = {port.name: layout.bind[name, port.name] for port in system.ports_of(name)}
    own = {port: (name, address[1]) if shared else address for port, address in bind.items()}
    peers = {
        peer: {
            port.name: (peer, layout.bind[peer, port.name][1]) if shared else links[LinkId(name, peer, port.name)]
            for port in system.ports_of(peer)
        }
        for peer in system.node_names
        if peer != name
    }
    return NodeView(name=name, directory=str(directory), bind=bind, address=own, peers=peers, members=system.node_names)


def _node_json(
    system: System, name: str, layout: Layout, links: Mapping[LinkId, Address], directory: Path, seed: int
) -> dict[str, object]:
    peers = [peer for peer in system.node_names if peer != name]
    return {
        "name": name,
        "index": system.node_names.index(name) + 1,
        "nodes": list(system.node_names),
        "dir": str(directory),
        "seed": seed,
        "options": dict(system.options),
        "bind": {port.name: list(layout.bind[name, port.name]) for port in system.ports_of(name)},
        "links": {
            peer: {port.name: list(links[LinkId(name, peer, port.name)]) for port in system.ports_of(peer)} for peer in peers
        },
        "classes": {port.name: {str(number): text for number, text in port.classes.items()} for port in system.all_ports},
    }


def _package_parent(module: str) -> str:
    """The directory that must be on a node's path for `python -m module`."""
    top = module.partition(".")[0]
    found = find_spec(top)
    if found is None or not (found.origin or found.submodule_search_locations):
        raise UsageError(f"System(host={module!r}): there is no such module; give one that `python -m` can run")
    place = Path(found.origin) if found.origin else Path(next(iter(found.submodule_search_locations or [])))
    return str(place.parent.parent if found.submodule_search_locations and found.origin else place.parent)
