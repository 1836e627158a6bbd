"""The control API's endpoints under /coordchaos/: requests in, calls on the relay, JSON out."""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.triggers import MessageTrigger, parse_trigger
from pytest_coordchaos.relay.http import HttpError, Request, Response, json_response
from pytest_coordchaos.relay.reading import read_number, read_watched
from pytest_coordchaos.relay.server import Conflict, LedgerPart, Relay, UnknownLink
from pytest_coordchaos.relay.wire import BadRequest, LinkSpec, Mark, link_to_json, states_from_json

__all__ = ["PROTOCOL_VERSION", "Control"]

PROTOCOL_VERSION = 1
_HEADER_LENGTH = struct.Struct(">I")

_Endpoint = Callable[[Request], Awaitable[Response]]


class Control:
    """Finds the endpoint of a request and calls it.

    Args:
        relay: What is controlled.
        loopback_only: Links that are behind no door listen on this machine's loopback, or are refused.
    """

    def __init__(self, relay: Relay, *, loopback_only: bool = True) -> None:
        self._relay = relay
        self._loopback_only = loopback_only
        self._endpoints: dict[str, tuple[str, _Endpoint]] = {
            "/coordchaos/version": ("GET", self._version),
            "/coordchaos/links": ("POST", self._add_links),
            "/coordchaos/apply": ("POST", self._apply),
            "/coordchaos/hold": ("POST", self._hold),
            "/coordchaos/release": ("POST", self._release),
            "/coordchaos/reset-node": ("POST", self._reset_node),
            "/coordchaos/watch": ("POST", self._watch),
            "/coordchaos/mark": ("POST", self._mark),
            "/coordchaos/ledger": ("POST", self._ledger),
            "/coordchaos/live": ("GET", self._live),
        }

    async def handle(self, request: Request) -> Response:
        """Answer one request. HttpError: the status and sentence to answer with."""
        if request.path not in self._endpoints:
            raise HttpError(404, f"there is no {request.path}; there are: {', '.join(self._endpoints)}")
        method, endpoint = self._endpoints[request.path]
        if request.method != method:
            raise HttpError(405, f"{request.path} takes {method}, not {request.method}")
        try:
            return await endpoint(request)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        except UnknownLink as error:
            raise HttpError(404, str(error.args[0])) from None
        except Conflict as error:
            raise HttpError(409, str(error)) from None

    async def _version(self, request: Request) -> Response:
        return json_response({"relay": "coordchaos", "protocol": PROTOCOL_VERSION})

    async def _add_links(self, request: Request) -> Response:
        raw = _field(request.json(), "links")
        if not isinstance(raw, list):
            raise BadRequest(f"links: a list is allowed, not {type(raw).__name__}")
        specs = [
            LinkSpec.from_json(item, f"links[{number}]", loopback_only=self._loopback_only) for number, item in enumerate(raw)
        ]
        made = await self._relay.add_links(specs)
        return json_response(
            {"links": [{"link": link_to_json(link), "listen": list(address)} for link, address in made.items()]}, 201
        )

    async def _apply(self, request: Request) -> Response:
        states = states_from_json(_field(request.json(), "links"), "links")
        results = await self._relay.apply(states)
        return json_response({"probes": [result.to_json() for result in results]})

    async def _reset_node(self, request: Request) -> Response:
        node = _field(request.json(), "node")
        if not isinstance(node, str):
            raise BadRequest(f"node: a name is allowed, not {type(node).__name__}")
        return json_response({"reset": self._relay.reset_node(node)})

    async def _hold(self, request: Request) -> Response:
        body = request.json()
        timeout_s = read_number(_field(body, "timeout_s"), "timeout_s")
        return json_response({"hold": await self._relay.hold_at(_message_trigger(_field(body, "trigger")), timeout_s)})

    async def _release(self, request: Request) -> Response:
        number = _field(request.json(), "hold")
        if type(number) is not int:
            raise BadRequest(f"hold: a number is allowed, not {number!r}")
        self._relay.release(number)
        return json_response({})

    async def _watch(self, request: Request) -> Response:
        self._relay.namespaces.watch(**read_watched(request.json()))
        return json_response({})

    async def _mark(self, request: Request) -> Response:
        return json_response(_mark_json(await self._relay.mark()))

    async def _ledger(self, request: Request) -> Response:
        body = request.json()
        since, until = _position(_field(body, "since"), "since"), _field(body, "until")
        now = await self._relay.mark()
        end = (now.row, now.time_ns) if until is None else _position(until, "until")
        part = self._relay.ledger(since, end)
        header = json.dumps(self._ledger_header(part, now), separators=(",", ":")).encode()
        return Response(200, b"".join((_HEADER_LENGTH.pack(len(header)), header, part.window.rows)), "application/octet-stream")

    async def _live(self, request: Request) -> Response:
        return json_response({"links": [{**asdict(c), "link": link_to_json(c.link)} for c in self._relay.live()]})

    def _ledger_header(self, part: LedgerPart, now: Mark) -> dict[str, object]:
        return {
            "mark": _mark_json(now),
            "links": [[link_to_json(link.spec.link), link.spec.counted] for link in self._relay.links.values()],
            "classes": self._relay.store.class_names,
            "batches": [[row, list(ids)] for row, ids in part.window.batches.items()],
            "missing": part.window.missing,
            "bypasses": part.bypasses,
            "note": part.note,
        }


def _mark_json(mark: Mark) -> dict[str, object]:
    return {"time_ns": mark.time_ns, "row": mark.row, "totals": [list(totals) for totals in mark.totals]}


def _field(body: object, name: str) -> object:
    if not isinstance(body, dict) or (name not in body and name != "until"):
        raise BadRequest(f"the body must be an object with {name!r}")
    return body.get(name)


def _message_trigger(raw: object) -> MessageTrigger:
    try:
        trigger = parse_trigger(str(raw))
    except UsageError as error:
        raise BadRequest(str(error)) from None
    if not isinstance(trigger, MessageTrigger):
        raise BadRequest(f"trigger: {raw!r} is no message; a relay sees nothing else")
    return trigger


def _position(raw: object, where: str) -> tuple[int, int]:
    if not isinstance(raw, list) or len(raw) != 2 or not all(type(part) is int and part >= 0 for part in raw):
        raise BadRequest(f"{where}: {raw!r} is not a position; allowed: [row, time_ns]")
    return raw[0], raw[1]
