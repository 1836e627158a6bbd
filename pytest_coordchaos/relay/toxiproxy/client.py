"""Driving a Toxiproxy server through toxiproxy-python, with what that client lacks mended.

toxiproxy-python is used as transport: its consumer keeps one address for a whole process, waits for
ever, knows three error statuses, follows HTTP_PROXY, and cannot update anything. Here each client
has an address of its own, every call a deadline, every status >= 400 an error of its kind. Calls
block: from a loop they belong in a worker thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests
import tenacity
from toxiproxy.api import APIConsumer, validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from pytest_coordchaos.relay.toxiproxy import errors
from pytest_coordchaos.relay.toxiproxy.model import Proxy, Toxic
from pytest_coordchaos.relay.wire import Address

__all__ = ["ToxiproxyClient"]

_NO_PROXIES = {"http": None, "https": None, "all": None}  # HTTP_PROXY of the environment is not meant for this
_STATUS_OF = {ProxyExists: 409, NotFound: 404, InvalidToxic: 400}


class ToxiproxyClient:
    """One Toxiproxy server.

    Args:
        address: Where its API listens.
        deadline_s: How long any call may take to connect, and to answer.

    Raises (every call):
        ToxiproxyError: By kind, see `errors`.
    """

    def __init__(self, address: Address, *, deadline_s: float = 5.0) -> None:
        self.address = address
        self.deadline_s = deadline_s
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        # The consumer's methods read host and port from their class: a class per client, an address per client.
        self._consumer: Any = type("_Consumer", (_Patching,), {"host": host, "port": address[1]})

    # -- the server --------------------------------------------------------------------------------

    def version(self) -> str:
        """The version the server tells, such as "2.12.0"."""
        text = self._call("get", "/version").text.strip()
        try:
            return str(json.loads(text)["version"])
        except (ValueError, KeyError, TypeError):
            return str(text)  # before 2.5 it was plain text

    def wait_started(self, timeout_s: float, gone: Callable[[], bool] = lambda: False) -> str:
        """The version, once the server answers. Only a connection that cannot be made is tried again.

        Args:
            timeout_s: How long to try.
            gone: Whether the server has ended, so that trying on is in vain.
        """
        too_late = tenacity.stop_after_delay(timeout_s)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(errors.Unreachable),
            stop=lambda state: gone() or too_late(state),
            wait=tenacity.wait_exponential(multiplier=0.005, max=0.1),
            reraise=True,
        )
        version: str = retrying(self.version)
        return version

    def metrics(self) -> str:
        """The Prometheus text; NotFound where the server was started without it."""
        return str(self._call("get", "/metrics").text)

    # -- proxies -----------------------------------------------------------------------------------

    def proxies(self) -> dict[str, Proxy]:
        """Every proxy of the server, anybody's. Hangs (NoAnswer) while any one of them is wedged."""
        return {name: Proxy.from_json(raw) for name, raw in self._call("get", "/proxies").json().items()}

    def get(self, name: str) -> Proxy:
        """One proxy with its toxics."""
        return Proxy.from_json(self._call("get", _url(name)).json())

    def create(self, proxy: Proxy) -> Proxy:
        """Make a proxy with its toxics; returned with the port the server chose. On an error nothing of it is left."""
        made = Proxy.from_json(self._call("post", "/proxies", json=proxy.to_json()).json())
        try:
            for toxic in proxy.toxics:
                self.add_toxic(proxy.name, toxic)
        except errors.ToxiproxyError:
            self.delete(proxy.name)
            raise
        return made if not proxy.toxics else self.get(proxy.name)

    def populate(self, proxies: Iterable[Proxy]) -> list[Proxy]:
        """Make many proxies (without toxics) in one call; one that is there already with these addresses stays as it is.

        On an error those before the wrong one are made.
        """
        answer = self._call("post", "/populate", json=[proxy.to_json() for proxy in proxies]).json()
        return [Proxy.from_json(raw) for raw in answer["proxies"] or ()]

    def update(self, name: str, **changes: object) -> Proxy:
        """Change `listen`, `upstream` or `enabled`; the first two end every connection when they change."""
        return Proxy.from_json(self._call("patch", _url(name), json=changes).json())

    def delete(self, name: str) -> None:
        """End a proxy and every connection through it."""
        self._call("delete", _url(name))

    def recreate(self, proxy: Proxy) -> Proxy:
        """Put a proxy in place of the one of its name, with its toxics: what frees a wedged one. Its connections end."""
        try:
            self.delete(proxy.name)
        except errors.NotFound:
            pass
        return self.create(proxy)

    # -- toxics ------------------------------------------------------------------------------------

    def add_toxic(self, name: str, toxic: Toxic) -> Toxic:
        """Add a toxic to a proxy, behind those it has; returned as the server took it."""
        return Toxic.from_json(self._call("post", _url(name, "toxics"), json=toxic.to_json()).json())

    def update_toxic(self, name: str, toxic: Toxic) -> Toxic:
        """Change attributes and toxicity of the toxic of that name."""
        body = {"attributes": dict(toxic.attributes), "toxicity": toxic.toxicity}
        return Toxic.from_json(self._call("patch", _url(name, "toxics", toxic.full_name), json=body).json())

    def remove_toxic(self, name: str, toxic: str) -> None:
        """Take a toxic away. That of a `timeout` ends the connections it had hold of."""
        self._call("delete", _url(name, "toxics", toxic))

    # -- for a while -------------------------------------------------------------------------------

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """Disable a proxy; afterwards it is as it was before, also where it was disabled already."""
        before = self.get(name).enabled
        self.update(name, enabled=False)
        try:
            yield
        finally:
            self.update(name, enabled=before)

    @contextmanager
    def applied(self, name: str, *toxics: Toxic) -> Iterator[None]:
        """Put toxics in force; afterwards what was there before is there again, and these are gone."""
        before = {toxic.full_name: toxic for toxic in self.get(name).toxics}
        done: list[str] = []
        try:
            for toxic in toxics:
                known = before.get(toxic.full_name)
                same = known is not None and (known.type, known.stream) == (toxic.type, toxic.stream)
                (self.update_toxic if same else self.add_toxic)(name, toxic)
                done.append(toxic.full_name)
            yield
        finally:
            for toxic_name in reversed(done):
                if toxic_name in before:
                    self.update_toxic(name, before[toxic_name])
                else:
                    self.remove_toxic(name, toxic_name)

    # -- HTTP --------------------------------------------------------------------------------------

    def _call(self, method: str, url: str, **body: object) -> Any:
        what = f"{method.upper()} {url} of Toxiproxy at {self.address[0]}:{self.address[1]}"
        try:
            answer = getattr(self._consumer, method)(url, timeout=self.deadline_s, proxies=_NO_PROXIES, **body)
        except (ProxyExists, NotFound, InvalidToxic) as error:
            raise errors.error_of(_STATUS_OF[type(error)], f"{what}: {_said(error.args[0])}") from None
        except requests.ConnectionError as error:
            raise errors.Unreachable(f"{what}: no connection: {_reason(error)}") from None
        except requests.RequestException as error:
            raise _no_answer(what, error, self.deadline_s) from None
        if answer.status_code >= 400:
            raise errors.error_of(answer.status_code, f"{what}: {_said(answer.content)}")
        return answer


class _Patching(APIConsumer):  # type: ignore[misc]  # the package has no types
    """The package's consumer with the method that it lacks."""

    @classmethod
    def patch(cls, url: str, **kwargs: object) -> Any:
        return validate_response(requests.patch(f"http://{cls.host}:{cls.port}{url}", **kwargs))  # type: ignore[arg-type]  # handed on


def _url(*parts: str) -> str:
    return "/proxies/" + "/".join(quote(part, safe="") for part in parts)


def _said(content: bytes) -> str:
    """The server's own words: those of its error object, else the first line of whatever came."""
    text = content.decode(errors="replace").strip()
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.partition("\n")[0][:200] or "no words"


def _reason(error: BaseException) -> str:
    """The innermost reason of a connection that could not be made."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _no_answer(what: str, error: Exception, deadline_s: float) -> errors.ToxiproxyError:
    if isinstance(error, requests.Timeout):
        return errors.NoAnswer(f"{what}: no answer within {deadline_s:g} s")
    return errors.ServerFailed(f"{what}: not an answer of Toxiproxy's: {error}")
