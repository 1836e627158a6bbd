"""Links with Toxiproxy behind the relay: it applies the toxics, the relay counts and does what Toxiproxy cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic_ns
from typing import Any

from pytest_coordchaos.cost.ledger import Ledger, LinkId
from pytest_coordchaos.errors import CapabilityError, StartError
from pytest_coordchaos.faults.model import PASS
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger
from pytest_coordchaos.relay.control_client import RelayControl
from pytest_coordchaos.relay.link_control import Hold
from pytest_coordchaos.relay.toxiproxy import errors
from pytest_coordchaos.relay.toxiproxy.addresses import address_towards
from pytest_coordchaos.relay.toxiproxy.client import ToxiproxyClient
from pytest_coordchaos.relay.toxiproxy.model import Proxy, Toxic
from pytest_coordchaos.relay.toxiproxy.probe import Seen, try_toxics
from pytest_coordchaos.relay.toxiproxy.server import ToxiproxyServer
from pytest_coordchaos.relay.toxiproxy.states import States, before, changes, left_to_relay, refuses, relay_part, toxics_of
from pytest_coordchaos.relay.wire import LinkCounts, LinkSpec, Mark, ProbeResult

__all__ = ["ToxiproxyLinks"]

_THREADS = 8
_PASSING: States = (PASS, PASS)
_DATAGRAMS = "applied by the relay, because Toxiproxy knows TCP alone: faults on UDP links"
_HANGING = (errors.NoAnswer, errors.ServerFailed, errors.Unreachable)


class ToxiproxyLinks:
    """A LinkControl. Every call of Toxiproxy's blocks, hence happens in a worker thread, and has a deadline.

    Args:
        relay: The first hop.
        server: The second.
    """

    proxy = "toxiproxy"

    def __init__(self, relay: RelayControl, server: ToxiproxyServer) -> None:
        self._relay = relay
        self._server = server
        self._wanted: dict[LinkId, Proxy] = {}
        self._alone: frozenset[LinkId] = frozenset()
        self._found: dict[LinkId, Proxy | None] = {}  # as read back; None: not known after a call that failed
        self._states: dict[LinkId, States] = {}
        self._down: set[str] = set()
        self._turn, self._restart_turn = asyncio.Lock(), asyncio.Lock()
        self._restarts = 0
        self._events: dict[str, int] = {}  # what happened -> when it did last
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="coordchaos-toxiproxy")

    async def add_links(self, given: Iterable[LinkSpec]) -> dict[LinkId, tuple[str, int]]:
        """Make a proxy before each node's port, and the relay's links to the proxies; returns where the links listen.

        Raises:
            RelayError: A link or proxy could not be made.
            StartError: Bytes do not get through this server.
        """
        specs = list(given)
        alone = [spec for spec in specs if spec.transport == "udp"]  # Toxiproxy knows TCP alone
        specs = [spec for spec in specs if spec.transport == "tcp"]
        self._alone = frozenset(spec.link for spec in alone)
        asked = [_proxy(self._server, spec, number) for number, spec in enumerate(specs)]
        self._wanted = {spec.link: proxy for spec, proxy in zip(specs, asked, strict=True)}
        made: list[Proxy] = await self._call(self._server.client.populate, asked)
        self._wanted = {spec.link: proxy for spec, proxy in zip(specs, made, strict=True)}
        self._found = dict(self._wanted)
        ok, words = (await try_toxics(self._server, self._call, ()))[0]
        if not ok:
            raise StartError(
                f"Toxiproxy ({self._server.words}) carries nothing between addresses of this machine's loopback: {words}; "
                "it must run on this machine and in its network"
            )
        return await self._relay.add_links([*(_behind(spec, self._wanted[spec.link]) for spec in specs), *alone])

    async def apply(self, states: Mapping[LinkId, States]) -> tuple[ProbeResult, ...]:
        """Put states in force: the relay's part and Toxiproxy's toxics; both are probed when this returns.

        Raises:
            RelayError: Relay or Toxiproxy refused, or did not answer in time and could not be recovered.
        """
        mine = {link: pair for link, pair in states.items() if link in self._alone}
        if mine:
            rest = {link: pair for link, pair in states.items() if link not in mine}
            probed = await self._relay.apply(mine)
            if any(pair != _PASSING for pair in mine.values()):
                self._event(_DATAGRAMS)
            return (*probed, *(await self.apply(rest) if rest else ()))
        async with self._turn:
            first = {link: early for link, new in states.items() if (early := before(self._old(link), new)) is not None}
            if first:
                await self._relay.apply(first)
            self._states.update(states)
            await self._bring_all(states)
            relayed = await self._relay.apply({link: relay_part(pair) for link, pair in states.items()})
            self._tell_what_is_left(states)
            seen = await self._try_all([toxics_of(pair) for link, pair in states.items() if self._wanted[link].enabled])
        return tuple(self._joined(result, states[result.link], seen) for result in relayed)

    async def reset_node(self, node: str) -> int:
        """Reset the node's end of every connection to it; its proxies refuse until `node_is_back`."""
        async with self._turn:
            count = await self._relay.reset_node(node)
            self._down.add(node)
            await self._bring_all(link for link in self._wanted if link.target == node)
        return count

    async def hold_at(self, trigger: MessageTrigger | SyncTrigger, timeout_s: float) -> Hold | None:
        """Wait for a message, and hold it: the relay, which sees it first, does."""
        return await self._relay.hold_at(trigger, timeout_s)

    async def node_is_back(self, node: str) -> None:
        """A node that was killed accepts connections again: so do its proxies."""
        async with self._turn:
            self._down.discard(node)
            await self._bring_all(link for link in self._wanted if link.target == node)

    async def watch(self, node: str, pid: int, host: str, ours: Iterable[str]) -> None:
        """A node lives (again) in a network namespace of its own, whose table of sockets is to be looked at.

        Raises:
            CapabilityError: Toxiproxy, which runs on this machine, cannot reach it there.
        """
        own = await self._call(address_towards, host)
        if own is None:
            raise CapabilityError(
                f"proxy=toxiproxy: Toxiproxy runs on this machine, and from here the address of node {node} ({host}) "
                "cannot be reached; take --coordchaos-proxy=relay, or an engine of this machine that runs as root"
            )
        await self._relay.watch(node, pid, host, (*ours, own))

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        return await self._relay.mark()

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links between two marks, or until now; delivered means passed to Toxiproxy."""
        return await self._relay.ledger(since, until)

    async def live(self) -> dict[LinkId, LinkCounts]:
        """Counts of each link since it was made."""
        return await self._relay.live()

    async def close(self) -> None:
        """Let go of the relay, and take our proxies from a server that is not ours. Idempotent."""
        try:
            if self._server.start_again is None:
                names = [proxy.name for proxy in self._wanted.values()]
                await asyncio.gather(*(self._call(self._server.client.delete, name) for name in names), return_exceptions=True)
            self._wanted = {}
            if self._server.end is not None:
                await self._server.end()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            await self._relay.close()

    def notes(self, since_ns: int) -> tuple[str, ...]:
        """Who applied what, and what went wrong with Toxiproxy since then."""
        who = (
            f"cuts and delays were applied by Toxiproxy {self._server.version} ({self._server.words}); "
            "delivered means passed on to it"
        )
        return (who, *self._server.notes, *(words for words, last_ns in self._events.items() if last_ns >= since_ns))

    # -- Toxiproxy -----------------------------------------------------------------------------------

    async def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _old(self, link: LinkId) -> States:
        return self._states.get(link, _PASSING)

    async def _bring_all(self, links: Iterable[LinkId]) -> None:
        links = list(links)
        for link in links:
            enabled = not refuses(self._old(link)) and link.target not in self._down
            self._wanted[link] = replace(self._wanted[link], toxics=toxics_of(self._old(link)), enabled=enabled)
        await asyncio.gather(*(self._bring(link) for link in links))

    async def _bring(self, link: LinkId) -> None:
        """Make the proxy what is wanted; one that hangs is replaced, and a server that hangs started again."""
        found, wanted, restarts = self._found[link], self._wanted[link], self._restarts
        self._found[link] = None
        try:
            self._found[link] = await self._call(_change, self._server.client, found, wanted)
        except _HANGING as error:
            self._event(f"Toxiproxy's proxy for {link} hung and was made anew, its connections ended ({error})")
            self._found[link] = await self._free(wanted, restarts)

    async def _free(self, wanted: Proxy, restarts: int) -> Proxy:
        client = self._server.client
        try:
            freed: Proxy = await self._call(client.recreate, wanted)
        except (errors.NoAnswer, errors.Unreachable) as error:
            await self._restart(restarts, error)
            freed = await self._call(client.get, wanted.name)
        return freed

    async def _restart(self, seen: int, why: errors.ToxiproxyError) -> None:
        """A proxy that hangs while somebody dials it takes the whole server with it."""
        if self._server.start_again is None:
            raise errors.NoAnswer(f"Toxiproxy ({self._server.words}) hangs as a whole or is gone; start it again ({why})")
        async with self._restart_turn:
            if seen != self._restarts:
                return
            await self._server.start_again()
            wanted = list(self._wanted.items())
            made = await asyncio.gather(*(self._call(self._server.client.create, proxy) for _, proxy in wanted))
            self._found.update({link: proxy for (link, _), proxy in zip(wanted, made, strict=True)})
            self._restarts += 1
            self._event(f"Toxiproxy hung as a whole or was gone, and was started again; all connections ended ({why})")

    # -- proof ---------------------------------------------------------------------------------------

    async def _try_all(self, toxics: Iterable[tuple[Toxic, ...]]) -> dict[str, tuple[Seen, Seen]]:
        """One probe for each kind of toxics, on a proxy of its own; that each link's proxy has them is read back."""
        kinds = {_kind(each): each for each in toxics}
        seen = await asyncio.gather(*(try_toxics(self._server, self._call, each) for each in kinds.values()))
        return dict(zip(kinds, seen, strict=True))

    def _joined(self, relayed: ProbeResult, states: States, seen: Mapping[str, tuple[Seen, Seen]]) -> ProbeResult:
        """The relay's evidence and Toxiproxy's as one."""
        which = 0 if relayed.direction == "upstream" else 1
        wanted, found = self._wanted[relayed.link], self._found[relayed.link]
        ok, words = seen[_kind(toxics_of(states))][which] if wanted.enabled else (True, "its listener is closed")
        if found is None or (found.enabled, _kind(found.toxics)) != (wanted.enabled, _kind(wanted.toxics)):
            ok, words = False, f"its proxy is not what it was told to be, but {found}"
        text = f"relay: {relayed.observed}; Toxiproxy: {words}"
        return replace(relayed, expected=states[which], ok=relayed.ok and ok, observed=text)

    def _tell_what_is_left(self, states: Mapping[LinkId, States]) -> None:
        left = {what for pair in states.values() for what in left_to_relay(pair)}
        if left:
            self._event(f"applied by the relay, because Toxiproxy cannot express it: {', '.join(sorted(left))}")

    def _event(self, words: str) -> None:
        self._events[words] = monotonic_ns()


def _kind(toxics: Iterable[Toxic]) -> str:
    """The toxics in words, whatever their order."""
    return str(sorted((toxic.full_name, toxic.toxicity, *sorted(toxic.attributes.items())) for toxic in toxics))


def _proxy(server: ToxiproxyServer, spec: LinkSpec, number: int) -> Proxy:
    listen = server.ports[number] if server.ports else ("127.0.0.1", 0)
    link = spec.link
    return Proxy(name=server.name(link.source, link.target, link.port), upstream=_text(spec.upstream), listen=_text(listen))


def _behind(spec: LinkSpec, proxy: Proxy) -> LinkSpec:
    """The relay's link when its node is dialled by Toxiproxy: on this machine, where nobody needs a door."""
    source = spec.upstream_source or "127.0.0.1"
    return replace(spec, upstream=proxy.address, node=spec.upstream, upstream_source=source, dial_door="")


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _change(client: ToxiproxyClient, found: Proxy | None, wanted: Proxy) -> Proxy:
    """Make a proxy what is wanted by the calls that differ, and read it back."""
    if found is None:
        return client.recreate(wanted)
    for change in changes(found.toxics, wanted.toxics):
        if change.do == "remove":
            client.remove_toxic(wanted.name, change.toxic.full_name)
        else:
            (client.add_toxic if change.do == "add" else client.update_toxic)(wanted.name, change.toxic)
    if found.enabled != wanted.enabled:
        client.update(wanted.name, enabled=wanted.enabled)
    return client.get(wanted.name)
