"""The API's endpoints: which one a path and a method mean, and what it does."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable

from pytest_coordchaos.relay.api import bodies
from pytest_coordchaos.relay.api.errors import PROXY_EXISTS, PROXY_NOT_FOUND, TOXIC_EXISTS, TOXIC_NOT_FOUND, ApiError
from pytest_coordchaos.relay.api.go_json import write
from pytest_coordchaos.relay.api.metrics import metrics_text
from pytest_coordchaos.relay.http import Request, Response
from pytest_coordchaos.relay.link import Link
from pytest_coordchaos.relay.listen_address import AddressError
from pytest_coordchaos.relay.proxies import Exists, LinkBound, Proxies, Unknown, described
from pytest_coordchaos.relay.proxy import Proxy
from pytest_coordchaos.relay.toxics.collection import Toxic

__all__ = ["ALL_METRICS", "TOXIPROXY_VERSION", "ToxiproxyApi"]

TOXIPROXY_VERSION = "2.12.0"
"""The version whose API this is, and the one it answers with."""

ALL_METRICS = frozenset({"proxy", "runtime"})
"""The kinds of metrics there are."""

_Endpoint = Callable[[Request, tuple[str, ...]], Awaitable[Response]]
_PLAIN = "text/plain; charset=utf-8"
_NO_SNIFF = ("X-Content-Type-Options", "nosniff")
_ANY = "any method"


class ToxiproxyApi:
    """Answers the requests of Toxiproxy's clients.

    Args:
        proxies: What they are about.
        metrics: Which of `ALL_METRICS` are shown at `/metrics`; none: there is no such page.
    """

    def __init__(self, proxies: Proxies, *, metrics: frozenset[str]) -> None:
        self._proxies = proxies
        self._metrics = metrics
        self._numbers = itertools.count(secrets.randbits(40))
        self._routes: dict[tuple[str, int], dict[str, _Endpoint]] = {
            ("reset", 1): {"POST": self._reset},
            ("version", 1): {"GET": self._version},
            ("populate", 1): {"POST": self._populate},
            ("proxies", 1): {"GET": self._index, "POST": self._create},
            ("proxies", 2): {"GET": self._show, "POST": self._update, "PATCH": self._update, "DELETE": self._delete},
            ("proxies", 3): {"GET": self._toxics, "POST": self._add_toxic},
            ("proxies", 4): {
                "GET": self._show_toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
        }
        if metrics:
            self._routes["metrics", 1] = {_ANY: self._show_metrics}

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        first, *names = request.path.split("/")[1:] or [""]
        methods = self._routes.get((first, 1 + len(names)))
        if methods is None or not all(names) or (len(names) > 1 and names[1] != "toxics"):
            return Response(404, b"404 page not found\n", _PLAIN, (_NO_SNIFF,))
        endpoint = methods.get(request.method) or methods.get(_ANY)
        if endpoint is None:
            return Response(405)
        return (await self._answer(endpoint, request, tuple(names))).with_header("X-Toxiproxy-Request-Id", self._request_id())

    async def _answer(self, endpoint: _Endpoint, request: Request, names: tuple[str, ...]) -> Response:
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return Response(403, b"User agent not allowed\n", _PLAIN, (_NO_SNIFF,))
        try:
            return await endpoint(request, names)
        except (ApiError, AddressError, Unknown, Exists, LinkBound) as error:
            return _refusal(_as_api_error(error))

    def _request_id(self) -> str:
        return f"{next(self._numbers):020x}"

    # -- proxies -----------------------------------------------------------------------------------

    async def _index(self, request: Request, names: tuple[str, ...]) -> Response:
        return _json({name: _shown(proxy) for name, proxy in self._proxies.all().items()})

    async def _create(self, request: Request, names: tuple[str, ...]) -> Response:
        return _json(_shown(await self._proxies.create(bodies.read_proxy(request.body))), 201)

    async def _populate(self, request: Request, names: tuple[str, ...]) -> Response:
        done: list[dict[str, object]] = []
        try:
            for spec in bodies.read_populate(request.body):
                proxy = await self._proxies.create_or_replace(spec)
                done.append(_shown(proxy))
        except (ApiError, AddressError, LinkBound) as error:
            refused = _as_api_error(error)
            return _json({**refused.to_json(), "proxies": done or None}, refused.status)
        return _json({"proxies": done or None}, 201)

    async def _show(self, request: Request, names: tuple[str, ...]) -> Response:
        return _json(_shown(self._proxies.get(names[0])))

    async def _update(self, request: Request, names: tuple[str, ...]) -> Response:
        self._proxies.get(names[0])
        changes = bodies.proxy_changes(request.body)
        return _json(_shown(await self._proxies.update(names[0], **changes)))  # type: ignore[arg-type]  # checked when they were read

    async def _delete(self, request: Request, names: tuple[str, ...]) -> Response:
        await self._proxies.delete(names[0])
        return Response(204)

    async def _reset(self, request: Request, names: tuple[str, ...]) -> Response:
        await self._proxies.reset()
        return Response(204)

    # -- toxics ------------------------------------------------------------------------------------

    async def _toxics(self, request: Request, names: tuple[str, ...]) -> Response:
        return _json([bodies.toxic_json(toxic) for toxic in self._proxies.get(names[0]).toxics.listed()])

    async def _add_toxic(self, request: Request, names: tuple[str, ...]) -> Response:
        toxics = self._proxies.get(names[0]).toxics
        toxic = bodies.read_toxic(request.body)
        if toxic.name in toxics:
            raise ApiError(*TOXIC_EXISTS)
        toxics.add(toxic)
        return _json(bodies.toxic_json(toxic))

    async def _show_toxic(self, request: Request, names: tuple[str, ...]) -> Response:
        return _json(bodies.toxic_json(self._toxic(names)))

    async def _update_toxic(self, request: Request, names: tuple[str, ...]) -> Response:
        toxic = self._toxic(names)
        values, toxicity = bodies.toxic_changes(request.body, toxic)
        return _json(bodies.toxic_json(self._proxies.get(names[0]).toxics.update(toxic.name, values, toxicity)))

    async def _remove_toxic(self, request: Request, names: tuple[str, ...]) -> Response:
        self._proxies.get(names[0]).toxics.remove(self._toxic(names).name)
        return Response(204)

    def _toxic(self, names: tuple[str, ...]) -> Toxic:
        toxic = self._proxies.get(names[0]).toxics.get(names[2])
        if toxic is None:
            raise ApiError(*TOXIC_NOT_FOUND)
        return toxic

    # -- the rest ----------------------------------------------------------------------------------

    async def _version(self, request: Request, names: tuple[str, ...]) -> Response:
        return Response(200, b'{"version": "%s"}\n' % TOXIPROXY_VERSION.encode(), "application/json;charset=utf-8")

    async def _show_metrics(self, request: Request, names: tuple[str, ...]) -> Response:
        shown = metrics_text(self._proxies.all().values(), self._metrics)
        return Response(200, shown.encode(), "text/plain; version=0.0.4; charset=utf-8")


def _json(value: object, status: int = 200) -> Response:
    return Response(status, write(value))


def _shown(proxy: Proxy | Link) -> dict[str, object]:
    return bodies.proxy_json(described(proxy), proxy.toxics.listed())


def _refusal(error: ApiError) -> Response:
    return Response(error.status, write(error.to_json()) + b"\n", _PLAIN, (_NO_SNIFF,))


def _as_api_error(error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case Unknown():
            return ApiError(*PROXY_NOT_FOUND)
        case Exists():
            return ApiError(*PROXY_EXISTS)
        case LinkBound():
            return ApiError(str(error), 409)
    return ApiError(str(error), 500)
