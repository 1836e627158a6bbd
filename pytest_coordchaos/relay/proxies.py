"""All proxies of a relay by name: those made over Toxiproxy's API, and the links of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from pytest_coordchaos.relay.link import Link
from pytest_coordchaos.relay.listen_address import AddressError, resolve, shown
from pytest_coordchaos.relay.proxy import Proxy
from pytest_coordchaos.relay.proxy_spec import ProxySpec
from pytest_coordchaos.relay.store import Store
from pytest_coordchaos.relay.wire import is_loopback

__all__ = ["Exists", "LinkBound", "Proxies", "Unknown", "described"]


class Unknown(LookupError):
    """There is no proxy of that name."""


class Exists(ValueError):
    """There is one of that name already."""


class LinkBound(ValueError):
    """The proxy is a link of a cluster, which alone decides where it leads; the message says so."""


class Proxies:
    """Proxies by name. No method waits for a connection; changes of one proxy come one after the other.

    Args:
        links: The cluster's links, as they are now.
        seed: Seed of what toxics draw.
        loopback_only: Nothing but this machine's own addresses may be listened on.
    """

    def __init__(self, links: Callable[[], Iterable[Link]], *, seed: str, loopback_only: bool) -> None:
        self.store = Store(1)  # for the counters alone: its rows are nobody's ledger
        self._links = links
        self._seed = seed
        self._loopback_only = loopback_only
        self._proxies: dict[str, Proxy] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def all(self) -> dict[str, Proxy | Link]:
        """Every proxy and link by name, in the order of names."""
        found: dict[str, Proxy | Link] = {link.name: link for link in self._links()}
        return dict(sorted((found | self._proxies).items()))

    def get(self, name: str) -> Proxy | Link:
        """One of them.

        Raises:
            Unknown: There is none.
        """
        found = self._proxies.get(name) or next((link for link in self._links() if link.name == name), None)
        if found is None:
            raise Unknown(name)
        return found

    async def create(self, spec: ProxySpec) -> Proxy:
        """Make one.

        Raises:
            Exists: The name is taken.
            AddressError: It cannot listen; nothing was made.
        """
        async with self._turn(spec.name):
            if any(name == spec.name for name in self.all()):
                raise Exists(spec.name)
            return await self._make(spec)

    async def create_or_replace(self, spec: ProxySpec) -> Proxy:
        """Leave the one of that name alone if its addresses are these, replace it if not, make it if there is none.

        Raises:
            LinkBound: The name is a link's.
            AddressError: It cannot listen.
        """
        async with self._turn(spec.name):
            found = self.all().get(spec.name)
            if isinstance(found, Link):
                raise _bound(found)
            if found is not None:
                if not await found.differs(spec.listen, spec.upstream):
                    return found
                found.stop()
            return await self._make(spec)

    async def update(self, name: str, *, listen: str | None, upstream: str | None, enabled: bool | None) -> Proxy | Link:
        """Change what is given.

        Raises:
            Unknown: There is none of that name.
            LinkBound: It is a link, and more than `enabled` was to be changed.
            AddressError: It cannot listen.
        """
        async with self._turn(name):
            found = self.get(name)
            shown_as = described(found)
            wanted = {
                "listen": shown_as.listen if listen is None else listen,
                "upstream": shown_as.upstream if upstream is None else upstream,
            }
            is_enabled = shown_as.enabled if enabled is None else enabled
            if isinstance(found, Link):
                if wanted != {"listen": shown_as.listen, "upstream": shown_as.upstream}:
                    raise _bound(found)
                if is_enabled is not found.enabled:
                    await found.enable(is_enabled)
                return found
            await self._check_loopback(wanted["listen"])
            await found.update(**wanted, enabled=is_enabled)
            return found

    async def delete(self, name: str) -> None:
        """End one and its connections.

        Raises:
            Unknown: There is none of that name.
            LinkBound: It is a link.
        """
        async with self._turn(name):
            found = self.get(name)
            if isinstance(found, Link):
                raise _bound(found)
            found.stop()
            del self._proxies[name]

    async def reset(self) -> None:
        """Enable all and take out every toxic.

        Raises:
            AddressError: One cannot listen; those after it are as they were.
        """
        for name in self.all():
            async with self._turn(name):
                try:
                    found = self.get(name)
                except Unknown:
                    continue
                if isinstance(found, Link):
                    if not found.enabled:
                        await found.enable(True)
                else:
                    await found.start()
                found.toxics.clear()

    def close(self) -> None:
        """End all proxies (links are the cluster's)."""
        for proxy in self._proxies.values():
            proxy.stop()

    async def _make(self, spec: ProxySpec) -> Proxy:
        listen = spec.listen or ("127.0.0.1:0" if self._loopback_only else "")
        await self._check_loopback(listen)
        proxy = Proxy(
            name=spec.name, listen=listen, upstream=spec.upstream, protocol=spec.protocol, store=self.store, seed=self._seed
        )
        if spec.enabled:
            await proxy.start()
        self._proxies[spec.name] = proxy
        return proxy

    async def _check_loopback(self, listen: str) -> None:
        if not self._loopback_only:
            return
        for _, (host, _port) in await resolve(listen):
            if not is_loopback(host):
                raise AddressError(f"listen tcp: {listen}: this relay listens on loopback addresses only: 127.x.y.z and [::1]")

    def _turn(self, name: str) -> asyncio.Lock:
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        return lock


def described(proxy: Proxy | Link) -> ProxySpec:
    """How a proxy or a link is shown."""
    if isinstance(proxy, Link):
        return ProxySpec(
            name=proxy.name,
            listen=shown(proxy.address),
            upstream=shown(proxy.spec.upstream),
            enabled=proxy.enabled,
            protocol=proxy.spec.protocol,
        )
    return ProxySpec(
        name=proxy.name, listen=proxy.listen, upstream=proxy.upstream, enabled=proxy.enabled, protocol=proxy.protocol
    )


def _bound(link: Link) -> LinkBound:
    return LinkBound(
        f"{link.name} is a link of a running cluster: the cluster decides where it listens and leads; "
        "toxics, and enabled, can be changed"
    )
