"""Bodies of the API: what is asked for, read and checked whole before anything is done; and what is shown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_coordchaos.relay.api.errors import INVALID_STREAM, INVALID_TYPE, ApiError, bad_body, missing
from pytest_coordchaos.relay.api.go_json import BadBody, boolean, float32, int64, read, read_fields, text
from pytest_coordchaos.relay.proxy_spec import ProxySpec
from pytest_coordchaos.relay.toxics.collection import Toxic
from pytest_coordchaos.relay.toxics.registry import TYPES
from pytest_coordchaos.system.protocols import PROTOCOLS

__all__ = ["proxy_changes", "proxy_json", "read_populate", "read_proxy", "read_toxic", "toxic_changes", "toxic_json"]

_Readers = Mapping[str, Callable[[object, str], object]]


def _protocol(value: object, name: str) -> str:
    word = text(value, name)
    if word not in PROTOCOLS:
        raise BadBody(f"{name}: {word!r} is not known; allowed: {', '.join(PROTOCOLS)}")
    return word


def _anything(value: object, name: str) -> object:
    return value


_PROXY: _Readers = {"name": text, "listen": text, "upstream": text, "enabled": boolean, "protocol": _protocol}
_TOXIC: _Readers = {"name": text, "type": text, "stream": text, "toxicity": float32, "attributes": _anything}


def read_proxy(body: bytes) -> ProxySpec:
    """A proxy to make."""
    try:
        fields = read_fields(read(body), _PROXY)
    except BadBody as error:
        raise bad_body(error) from None
    return _spec(fields, "")


def read_populate(body: bytes) -> list[ProxySpec]:
    """Proxies to make or replace; all of them are checked before the first one is touched."""
    try:
        raw = read(body)
        if raw is not None and not isinstance(raw, list):
            raise BadBody("json: a list of proxies is wanted")
        found = [read_fields(item, _PROXY) for item in raw or ()]
    except BadBody as error:
        raise bad_body(error) from None
    return [_spec(fields, f" at proxy {number}") for number, fields in enumerate(found, 1)]


def proxy_changes(body: bytes) -> dict[str, object]:
    """What to change of a proxy: some of listen, upstream, enabled."""
    try:
        fields = read_fields(read(body), _PROXY)
    except BadBody as error:
        raise bad_body(error) from None
    return {name: fields.get(name) for name in ("listen", "upstream", "enabled")}


def read_toxic(body: bytes) -> Toxic:
    """A toxic to add."""
    try:
        fields = read_fields(read(body), _TOXIC)
        kind, stream = str(fields.get("type", "")), str(fields.get("stream", "downstream"))
        read_fields(fields.get("attributes"), {})
    except BadBody as error:
        raise bad_body(error) from None
    if stream.lower() not in ("upstream", "downstream"):
        raise ApiError(*INVALID_STREAM)
    if kind not in TYPES:
        raise ApiError(*INVALID_TYPE)
    return Toxic(
        name=str(fields.get("name") or f"{kind}_{stream}"),
        type=kind,
        stream=stream,
        toxicity=_toxicity(fields, 1),
        values=_attributes(kind, fields, dict.fromkeys(TYPES[kind].attributes, 0)),
    )


def toxic_changes(body: bytes, toxic: Toxic) -> tuple[Mapping[str, int], float]:
    """All attributes and the toxicity a toxic is to have; what is not given stays."""
    try:
        fields = read_fields(read(body), {"toxicity": float32, "attributes": _anything})
    except BadBody as error:
        raise bad_body(error) from None
    return _attributes(toxic.type, fields, toxic.values), _toxicity(fields, toxic.toxicity)


def proxy_json(spec: ProxySpec, toxics: list[Toxic]) -> dict[str, object]:
    """A proxy as it is shown. `protocol` only where one is declared: Toxiproxy has none."""
    shown: dict[str, object] = {
        "name": spec.name,
        "listen": spec.listen,
        "upstream": spec.upstream,
        "enabled": spec.enabled,
        "Logger": {},
        "toxics": [toxic_json(toxic) for toxic in toxics],
    }
    return shown if spec.protocol == "bytes" else {**shown, "protocol": spec.protocol}


def toxic_json(toxic: Toxic) -> dict[str, object]:
    """A toxic as it is shown."""
    return {
        "attributes": dict(toxic.values),
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": toxic.toxicity,
    }


def _spec(fields: Mapping[str, object], where: str) -> ProxySpec:
    for name in ("name", "upstream"):
        if not fields.get(name):
            raise missing(f"{name}{where}")
    return ProxySpec(
        name=str(fields["name"]),
        listen=str(fields.get("listen", "")),
        upstream=str(fields["upstream"]),
        enabled=fields.get("enabled") is not False,
        protocol=str(fields.get("protocol", "bytes")),
    )


def _attributes(kind: str, fields: Mapping[str, object], before: Mapping[str, int]) -> dict[str, int]:
    try:
        given = read_fields(fields.get("attributes"), dict.fromkeys(TYPES[kind].attributes, int64))
    except BadBody as error:
        raise bad_body(error) from None
    changed = {name: value for name, value in given.items() if isinstance(value, int)}
    return {**before, **changed}


def _toxicity(fields: Mapping[str, object], before: float) -> float:
    value = fields.get("toxicity", before)
    return value if isinstance(value, int | float) else before
