"""Cutting byte streams into messages, one file per protocol. Sans-IO: bytes in, events out."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_coordchaos.relay.framing.base import Frame, Framer

__all__ = ["Frame", "Framer", "framer_pair"]


def framer_pair(protocol: str, classes: Mapping[int, str]) -> tuple[Framer, Framer]:
    """Framers of one connection's two directions (dialler to node, and back).

    Args:
        protocol: One of `system.model.PROTOCOLS`; an unknown one is opaque.
        classes: For `frames`: class number -> name.
    """
    if protocol == "frames":
        from pytest_coordchaos.relay.framing.frames import FramesFramer

        return FramesFramer(classes), FramesFramer(classes)
    if protocol == "json-lines":
        from pytest_coordchaos.relay.framing.json_lines import JsonLinesFramer

        return JsonLinesFramer(), JsonLinesFramer()
    if protocol == "http1":
        from pytest_coordchaos.relay.framing.http1 import Exchange, RequestFramer, ResponseFramer

        exchange = Exchange()
        return RequestFramer(exchange), ResponseFramer(exchange)
    if protocol == "http2":
        from pytest_coordchaos.relay.framing import http2, http2_streams

        connection = http2_streams.Session()
        return http2.RequestFramer(connection), http2.ResponseFramer(connection)
    if protocol == "postgres":
        from pytest_coordchaos.relay.framing import postgres
        from pytest_coordchaos.relay.framing.postgres_packets import Session

        shared = Session()
        return postgres.ClientFramer(shared), postgres.ServerFramer(shared)
    if protocol == "resp":
        from pytest_coordchaos.relay.framing import resp

        session = resp.Session()
        return resp.CommandFramer(session), resp.ReplyFramer(session)
    from pytest_coordchaos.relay.framing.opaque import OpaqueFramer

    return OpaqueFramer(), OpaqueFramer()
