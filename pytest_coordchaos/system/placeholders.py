"""Placeholders in a System's command, environment and files. Pure.

| placeholder              | becomes                                                                   |
| ------------------------ | ------------------------------------------------------------------------- |
| `{name}` `{dir}`         | the node's name; its working directory                                    |
| `{bind:PORT}`            | host:port where the node itself must listen                               |
| `{host:PORT}` `{port:PORT}` | the two halves of it                                                   |
| `{address:PORT}`         | how the other nodes name this node (shared addresses: `n1:2380`)          |
| `{peer:NODE:PORT}`       | the address of NODE as this node must dial it (its own: as `{address:PORT}`) |
| `{peers:PORT:FORMAT}`    | all other nodes that have PORT, each in FORMAT, joined                    |
| `{members:PORT:FORMAT}`  | all nodes that have PORT, this one included, in the System's order        |

FORMAT may be left out with its colon. In it `%n` is the name, `%a` the address, `%h` its host, `%p` its port, `%%` a
percent sign; all else is literal. What follows the last `|` is the separator (default a comma).

Braces are common in JSON and in shell text. Only `{word}` and `{word:x…}` (x not a space) are placeholders; every other
brace stays as it is. `{{word}}` gives `{word}` unchanged. An unknown word is an error, never silently kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_coordchaos.errors import UsageError

__all__ = ["ALLOWED", "NodeView", "render"]

ALLOWED = (
    "{name} {dir} {bind:PORT} {host:PORT} {port:PORT} {address:PORT} {peer:NODE:PORT} {peers:PORT:FORMAT} {members:PORT:FORMAT}"
)
"""The vocabulary, for messages."""

_T = TypeVar("_T")

Place = tuple[str, int] | str
"""(host, port), or both in one text: "n1:2380"."""

_ALONE = ("name", "dir")
_BODY = r"(?P<{0}>[A-Za-z_]\w*(?::(?=\S)[^{{}}]*)?)"
_BRACES = re.compile(r"\{\{" + _BODY.format("kept") + r"\}\}|\{" + _BODY.format("body") + r"\}")
_PERCENT = re.compile(r"%(.?)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The addresses of a system as one node sees them.

    Args:
        name: The node.
        directory: Its working directory.
        bind: Port -> where the node itself listens.
        address: Port -> how the others name this node.
        peers: Other node -> port -> where this node must dial it.
        members: All node names in order; empty: this node, then `peers` in their order.
    """

    name: str
    directory: str
    bind: Mapping[str, tuple[str, int]]
    address: Mapping[str, Place]
    peers: Mapping[str, Mapping[str, Place]]
    members: Sequence[str] = ()

    @property
    def order(self) -> Sequence[str]:
        """All node names in order, this one among them."""
        return self.members or (self.name, *self.peers)


def render(text: str, view: NodeView, *, where: str = "") -> str:
    """Fill in the placeholders of a text for one node.

    Args:
        where: Where the text was given, for messages ("files['a.conf']").

    Raises:
        UsageError: An unknown word, port or node, or a malformed FORMAT; names it and what is allowed.
    """
    place = f"node {view.name}{', ' if where else ''}{where}"
    return _BRACES.sub(lambda found: _replacement(found, view, place), text)


def _replacement(found: re.Match[str], view: NodeView, place: str) -> str:
    kept = found["kept"]
    if kept is not None:
        return f"{{{kept}}}"
    word, *arguments = found["body"].split(":", 1)
    if word not in _WORDS:
        raise UsageError(
            f"{found[0]!r} ({place}) is not a placeholder; allowed: {ALLOWED}; to keep it as it is, write {{{found[0]}}}"
        )
    try:
        if bool(arguments) == (word in _ALONE):
            raise UsageError(f"{word!r} {'takes no' if arguments else 'wants an'} argument; allowed: {ALLOWED}")
        return _WORDS[word](view, *arguments)
    except UsageError as error:
        raise UsageError(f"{found[0]!r} ({place}): {error}") from None


def _bind(view: NodeView, port: str) -> str:
    return _joined(_known(view.bind, port, "port"))


def _host(view: NodeView, port: str) -> str:
    return _known(view.bind, port, "port")[0]


def _port(view: NodeView, port: str) -> str:
    return str(_known(view.bind, port, "port")[1])


def _address(view: NodeView, port: str) -> str:
    return _joined(_known(view.address, port, "port"))


def _peer(view: NodeView, rest: str) -> str:
    node, _, port = rest.partition(":")
    _known(dict.fromkeys(view.order), node, "node")
    return _joined(_seen(view, node, port))


def _peers(view: NodeView, rest: str) -> str:
    return _listed(view, [node for node in view.order if node != view.name], rest)


def _members(view: NodeView, rest: str) -> str:
    return _listed(view, view.order, rest)


_WORDS: Mapping[str, Callable[..., str]] = {
    "name": lambda view: view.name,
    "dir": lambda view: view.directory,
    "bind": _bind,
    "host": _host,
    "port": _port,
    "address": _address,
    "peer": _peer,
    "peers": _peers,
    "members": _members,
}


def _listed(view: NodeView, nodes: Sequence[str], rest: str) -> str:
    port, _, form = rest.partition(":")
    _known(dict.fromkeys([*view.address, *(name for places in view.peers.values() for name in places)]), port, "port")
    having = [node for node in nodes if port in _places(view, node)]
    form, bar, separator = form.rpartition("|") if "|" in form else (form, "", "")
    return (separator if bar else ",").join(_formatted(form or "%a", node, _seen(view, node, port)) for node in having)


def _formatted(form: str, node: str, place: Place) -> str:
    address = _joined(place)
    host, _, number = address.rpartition(":")
    values = {"n": node, "a": address, "h": host.strip("[]"), "p": number, "%": "%"}
    return _PERCENT.sub(lambda found: _known(values, found[1], "%"), form)


def _seen(view: NodeView, node: str, port: str) -> Place:
    """Where this node dials that one; itself under the name the others use."""
    return _known(_places(view, node), port, "port")


def _places(view: NodeView, node: str) -> Mapping[str, Place]:
    return view.address if node == view.name else view.peers[node]


def _known(mapping: Mapping[str, _T], key: str, what: str) -> _T:
    if key not in mapping:
        raise UsageError(f"there is no {what} {key!r}; allowed: {', '.join(mapping) or 'none'}")
    return mapping[key]


def _joined(place: Place) -> str:
    if isinstance(place, str):
        return place
    host, number = place
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
