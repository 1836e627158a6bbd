"""`/metrics` in Prometheus' text format: counters that grow while connections are open."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_coordchaos.relay.link import Link
from pytest_coordchaos.relay.proxies import described
from pytest_coordchaos.relay.proxy import Proxy

__all__ = ["metrics_text"]

_STARTED_S = time.time()
_BYTES_HELP = {
    "received": "Bytes received from the sender of this direction, dropped or not.",
    "sent": "Bytes passed on to the receiver of this direction.",
}
_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[_Labels, float]


def metrics_text(proxies: Iterable[Proxy | Link], kinds: frozenset[str]) -> str:
    """The metrics of some proxies ("proxy") and of this process ("runtime")."""
    families: list[str] = []
    if "proxy" in kinds:
        families += _proxy_families(list(proxies))
    if "runtime" in kinds:
        families += _process_families()
    return "".join(families)


def _proxy_families(proxies: list[Proxy | Link]) -> list[str]:
    for store in {id(proxy.store): proxy.store for proxy in proxies}.values():
        store.settle()  # so that the messages of what was passed on are counted
    received: list[_Sample] = []
    sent: list[_Sample] = []
    messages: list[_Sample] = []
    for proxy in proxies:
        spec = described(proxy)
        where: _Labels = (("listener", spec.listen), ("proxy", spec.name), ("upstream", spec.upstream))
        for direction, tally in (("upstream", proxy.up_tally), ("downstream", proxy.down_tally)):
            received.append(((("direction", direction), *where), tally.offered))
            sent.append(((("direction", direction), *where), tally.delivered))
            if spec.protocol != "bytes":  # else how many there were is not known
                messages.append(((("direction", direction), ("protocol", spec.protocol), ("proxy", spec.name)), tally.messages))
    return [
        _family("toxiproxy_proxy_received_bytes_total", "counter", _BYTES_HELP["received"], received),
        _family("toxiproxy_proxy_sent_bytes_total", "counter", _BYTES_HELP["sent"], sent),
        _family("coordchaos_messages_total", "counter", "Messages of the declared protocol, received.", messages),
        _family("coordchaos_open_connections", "gauge", "Connections open now.", [_open(proxy) for proxy in proxies]),
    ]


def _open(proxy: Proxy | Link) -> _Sample:
    return (("proxy", proxy.name),), proxy.open_connections


def _process_families() -> list[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = [int(word) for word in Path("/proc/self/statm").read_text().split()]
    page = resource.getpagesize()
    figures = [
        ("process_cpu_seconds_total", "counter", "CPU time used.", usage.ru_utime + usage.ru_stime),
        ("process_open_fds", "gauge", "Open files.", len(list(Path("/proc/self/fd").iterdir()))),
        ("process_max_fds", "gauge", "Limit of open files.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ("process_resident_memory_bytes", "gauge", "Memory in use.", pages[1] * page),
        ("process_virtual_memory_bytes", "gauge", "Address space.", pages[0] * page),
        ("process_start_time_seconds", "gauge", "When it started, Unix time.", _STARTED_S),
    ]
    return [_family(name, kind, text, [((), value)]) for name, kind, text, value in figures]


def _family(name: str, kind: str, text: str, samples: Sequence[_Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
    return "\n".join(lines) + "\n" if samples else ""


def _labels(labels: _Labels) -> str:
    words = [f'{name}="{_escaped(value)}"' for name, value in labels]
    return "{" + ",".join(words) + "}" if words else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
