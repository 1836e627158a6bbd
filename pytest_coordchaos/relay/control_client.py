"""Driving a relay process over its control API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from struct import Struct
from time import monotonic_ns
from typing import Any

from pytest_coordchaos.cost.ledger import Ledger, LinkId, LinkTotals, Message
from pytest_coordchaos.errors import RelayError
from pytest_coordchaos.faults.model import DirectionState
from pytest_coordchaos.faults.triggers import MessageTrigger, SyncTrigger
from pytest_coordchaos.relay.hold_client import RelayHold, hold_at
from pytest_coordchaos.relay.store import BATCH_BIT, ROW
from pytest_coordchaos.relay.wire import (
    Address,
    LinkCounts,
    LinkSpec,
    Mark,
    ProbeResult,
    WayTotals,
    link_from_json,
    link_to_json,
    state_to_json,
)
from pytest_coordchaos.runtimes.far_dial import TOKEN_HEADER

__all__ = ["LinkCounts", "LinkSpec", "Mark", "ProbeResult", "RelayControl"]

_Places = Mapping[Address, Address]
_Json = Any  # what json.loads gives: the relay's own answers, whose shape is known where they are used

_HEADER_LENGTH = Struct(">I")
_READ_LIMIT = 256 * 1024
_CLOCK_SAMPLES = 5
_NOTHING: WayTotals = (0, 0, 0, 0)


class RelayControl:
    """A relay process, as its user sees it. Calls may run side by side.

    Args:
        address: Where its control API listens.
        deadline_s: How long any call may take (`apply`: beside the delay it injects).
        token: What a relay in a container asks for.
        published: Where such a relay listens -> where that can be reached from here.
    """

    proxy = "relay"

    def __init__(self, address: Address, *, deadline_s: float = 5.0, token: str = "", published: _Places | None = None) -> None:
        self.address = address
        self.deadline_s = deadline_s
        self._token = token
        self._published = published or {}
        self._ahead_ns = 0
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._closed = False

    @classmethod
    async def connect(
        cls, address: Address, *, deadline_s: float = 5.0, token: str = "", published: _Places | None = None
    ) -> RelayControl:
        """Reach a relay. The clock of one in a container may be another kernel's: then its times are translated.

        Raises:
            RelayError: Nobody, or somebody else, answers there.
        """
        control = cls(address, deadline_s=deadline_s, token=token, published=published)
        try:
            answer = await control._call("GET", "/coordchaos/version")
            if answer.get("relay") != "coordchaos":
                raise RelayError(f"{address[0]}:{address[1]} is not a relay of ours: it answered {answer}")
            if token:
                await control._set_clock()
        except BaseException:
            await control.close()
            raise
        return control

    async def add_links(self, specs: Iterable[LinkSpec]) -> dict[LinkId, Address]:
        """Make links; all listen when this returns, or none was made.

        Raises:
            RelayError: A link exists already, a port is taken, or a specification is not allowed.
        """
        answer = await self._call("POST", "/coordchaos/links", {"links": [spec.to_json() for spec in specs]})
        made = {link_from_json(item["link"], "link"): (item["listen"][0], item["listen"][1]) for item in answer["links"]}
        return {link: self._published.get(place, place) for link, place in made.items()}

    async def apply(self, states: Mapping[LinkId, tuple[DirectionState, DirectionState]]) -> tuple[ProbeResult, ...]:
        """Put (upstream, downstream) states in force on the links given; they are in force and probed when this returns.

        Raises:
            RelayError: There is no such link (then nothing was changed), or no answer came in time.
        """
        body = [
            {"link": link_to_json(link), "upstream": state_to_json(up), "downstream": state_to_json(down)}
            for link, (up, down) in states.items()
        ]
        slowest_ms = max((state.delay_ms for pair in states.values() for state in pair), default=0.0)
        answer = await self._call("POST", "/coordchaos/apply", {"links": body}, extra_s=3 * slowest_ms / 1e3)
        return tuple(ProbeResult.from_json(item) for item in answer["probes"])

    async def reset_node(self, node: str) -> int:
        """Reset the node's end of every connection to it, just before it is killed; returns how many there were.

        A killed program's sockets would otherwise stay in TIME_WAIT when the relay closes in good order, and a
        program that does not set SO_REUSEADDR could not listen on its port again for a minute.
        """
        return int((await self._call("POST", "/coordchaos/reset-node", {"node": node}))["reset"])

    async def hold_at(self, trigger: MessageTrigger | SyncTrigger, timeout_s: float) -> RelayHold | None:
        """Wait for a message, and hold it; None: it did not come in time."""
        return await hold_at(self._call, trigger, timeout_s)

    async def node_is_back(self, node: str) -> None:
        """A node that was killed accepts connections again: nothing to do, the relay dials it for every connection."""

    def notes(self, since_ns: int) -> tuple[str, ...]:
        """What a reader of a report should know: nothing."""
        return ()

    async def watch(self, node: str, pid: int, host: str, ours: Iterable[str]) -> None:
        """A node lives (again) in a network namespace of its own, whose table of sockets is to be looked at.

        Args:
            pid: A process in it; 0: not known, then bypasses of it cannot be seen, and the ledger's note says so.
            host: The node's address in it.
            ours: Addresses there that are the relay's.
        """
        await self._call("POST", "/coordchaos/watch", {"node": node, "pid": pid, "host": host, "ours": list(ours)})

    async def mark(self) -> Mark:
        """Where the ledger stands now."""
        return _mark(await self._call("POST", "/coordchaos/mark"), self._ahead_ns)

    async def ledger(self, since: Mark, until: Mark | None = None) -> Ledger:
        """What crossed the links between two marks, or until now.

        Totals of adjacent windows add up to those of the whole. A message belongs to the window in
        which its last byte was received; `delivered_ns` is what is known at the time of reading.
        """
        start, end = ([at.row, at.time_ns + self._ahead_ns] if at is not None else None for at in (since, until))
        raw = await self._exchange("POST", "/coordchaos/ledger", {"since": start, "until": end})
        (length,) = _HEADER_LENGTH.unpack_from(raw)
        header = json.loads(raw[_HEADER_LENGTH.size : _HEADER_LENGTH.size + length])
        rows, now = memoryview(raw)[_HEADER_LENGTH.size + length :], _mark(header["mark"], self._ahead_ns)
        return _ledger(header, rows, since, until or now, self._ahead_ns)

    async def live(self) -> dict[LinkId, LinkCounts]:
        """Counts of each link since it was made."""
        answer = await self._call("GET", "/coordchaos/live")
        counts = [LinkCounts(**{**item, "link": link_from_json(item["link"], "link")}) for item in answer["links"]]
        return {item.link: item for item in counts}

    async def close(self) -> None:
        """Let go of the relay (it goes on). Idempotent."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    async def _set_clock(self) -> None:
        """How far the relay's clock is ahead of ours; 0 when the two may be one, as far as the calls' durations tell."""
        samples = []
        for _ in range(_CLOCK_SAMPLES):
            asked = monotonic_ns()
            there = int((await self._call("POST", "/coordchaos/mark"))["time_ns"])
            took = monotonic_ns() - asked
            samples.append((took, there - asked - took // 2))
        took, ahead = min(samples)
        self._ahead_ns = ahead if abs(ahead) > took else 0

    # -- HTTP ----------------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: object = None, *, extra_s: float = 0.0) -> dict[str, _Json]:
        raw = await self._exchange(method, path, body, extra_s=extra_s)
        answer: dict[str, _Json] = json.loads(raw)
        return answer

    async def _exchange(self, method: str, path: str, body: object = None, *, extra_s: float = 0.0) -> bytes:
        limit_s = self.deadline_s + extra_s
        try:
            async with asyncio.timeout(limit_s):
                status, answer = await self._request(method, path, b"" if body is None else json.dumps(body).encode())
        except TimeoutError:
            raise RelayError(f"the relay did not answer {method} {path} within {limit_s:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise RelayError(
                f"the relay at {self.address[0]}:{self.address[1]} is gone: {str(error) or type(error).__name__}"
            ) from error
        if status >= 300:
            raise RelayError(_error_text(answer, method, path, status))
        return answer

    async def _request(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._closed:
            raise OSError("it was closed here")
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self.address, limit=_READ_LIMIT)
        try:
            head = [f"{method} {path} HTTP/1.1", "Host: relay", "Content-Type: application/json", f"Content-Length: {len(body)}"]
            head += [f"{TOKEN_HEADER}: {self._token}"] if self._token else []
            writer.write("\r\n".join((*head, "", "")).encode() + body)
            answer_head = await reader.readuntil(b"\r\n\r\n")
            status, length = _parse_head(answer_head)
            answer = await reader.readexactly(length)
        except BaseException:
            writer.transport.abort()
            raise
        if self._closed:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, answer


def _parse_head(head: bytes) -> tuple[int, int]:
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split(" ")[1]), int(headers["content-length"])


def _error_text(answer: bytes, method: str, path: str, status: int) -> str:
    try:
        return f"the relay refused {method} {path}: {json.loads(answer)['error']}"
    except (ValueError, KeyError, TypeError):
        return f"the relay refused {method} {path} with status {status}"


def _mark(raw: Mapping[str, _Json], ahead_ns: int) -> Mark:
    return Mark(time_ns=raw["time_ns"] - ahead_ns, row=raw["row"], totals=tuple(tuple(way) for way in raw["totals"]))


# -- building a Ledger -------------------------------------------------------------------------------


def _ledger(header: Mapping[str, _Json], rows: memoryview, since: Mark, until: Mark, ahead_ns: int) -> Ledger:
    links = [(link_from_json(name, "link"), str(protocol)) for name, protocol in header["links"]]
    return Ledger(
        messages=_messages(header, rows, [link for link, _ in links], ahead_ns),
        totals=_totals(links, since.totals, until.totals),
        start_ns=since.time_ns,
        end_ns=until.time_ns,
        bypasses=tuple(header["bypasses"]),
        complete=not header["missing"],
        note=header["note"],
    )


def _messages(header: Mapping[str, _Json], rows: memoryview, links: list[LinkId], ahead_ns: int) -> tuple[Message, ...]:
    classes: list[str] = header["classes"]
    batches = {BATCH_BIT | row: tuple(ids) for row, ids in header["batches"]}
    ends = [end for link in links for end in ((link, link.source, link.target), (link, link.target, link.source))]
    none: tuple[int, ...] = ()
    messages = []
    for offered, delivered, way, number, size, operation in ROW.iter_unpack(rows):
        link, sender, receiver = ends[way]
        messages.append(
            Message(
                offered_ns=offered - ahead_ns,
                delivered_ns=delivered - ahead_ns if delivered else None,
                link=link,
                sender=sender,
                receiver=receiver,
                message_class=classes[number],
                size_bytes=size,
                operations=none if not operation else batches[operation] if operation >= BATCH_BIT else (operation,),
            )
        )
    return tuple(messages)


def _totals(
    links: list[tuple[LinkId, str]], since: tuple[WayTotals, ...], until: tuple[WayTotals, ...]
) -> tuple[LinkTotals, ...]:
    totals = []
    for way, after in enumerate(until):
        before = since[way] if way < len(since) else _NOTHING
        offered, delivered, framed, turns = (b - a for a, b in zip(before, after, strict=True))
        link, protocol = links[way // 2]
        sender, receiver = (link.source, link.target) if way % 2 == 0 else (link.target, link.source)
        totals.append(
            LinkTotals(
                link=link,
                sender=sender,
                receiver=receiver,
                offered_bytes=offered,
                delivered_bytes=delivered,
                framed_bytes=framed,
                turns=turns,
                protocol=protocol,
            )
        )
    return tuple(totals)
