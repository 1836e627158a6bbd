"""Three etcd servers as somebody else's program: all members must share one set of addresses."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
from typing import Any

from pytest_coordchaos import Call, Client, NodeProbe, Port, System, Workload, ready_when
from pytest_coordchaos.workloads.register import register

ETCD = shutil.which("etcd")


def etcd_system(nodes: int = 3, *, image: str | None = None, program: str = ETCD or "etcd") -> System:
    """etcd under its own addresses: `n1:2380` means n1 to every member, by a private hosts file each, or by DNS."""
    return System(
        name="etcd",
        nodes=nodes,
        ports=[Port("peer", number=2380), Port("client", number=2379, protocol="http1")],
        addresses="shared",
        image=image,
        command=[
            program,
            *("--name", "{name}", "--data-dir", "{dir}/data", "--logger", "zap"),
            *("--listen-peer-urls", "http://{bind:peer}", "--initial-advertise-peer-urls", "http://{address:peer}"),
            *("--listen-client-urls", "http://{bind:client}", "--advertise-client-urls", "http://{address:client}"),
            *("--initial-cluster", "{members:peer:%n=http://%a}", "--initial-cluster-state", "new"),
            *("--heartbeat-interval", "50", "--election-timeout", "300"),
        ],
        ready=ready_when("/health says true", _healthy),
        roles={"leader": _leads},
        client=Client(connect=connect, call=_call, close=lambda connection: connection.close()),
        workloads={"register": _register},
    )


def _register(**options: Any) -> Workload:
    return register(**{"cas_share": 0.0, "timeout_s": 1.0, "clients": 4, **options})


async def _healthy(probe: NodeProbe) -> bool:
    status, body = await probe.http_get("client", "/health")
    return status == 200 and json.loads(body)["health"] == "true"


async def _leads(probe: NodeProbe) -> int | None:
    reader, writer = await probe.open("client")
    writer.write(b"POST /v3/maintenance/status HTTP/1.1\r\nHost: etcd\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    answer = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    return int(answer["raftTerm"]) if answer["leader"] == answer["header"]["member_id"] else None


def connect(cluster: Any, node: str) -> http.client.HTTPConnection:
    """A connection through the client's link."""
    host, number = cluster.address(node, "client")
    connection = http.client.HTTPConnection(host, number, timeout=2.0)
    connection.connect()
    return connection


def _call(connection: http.client.HTTPConnection, call: Call) -> Any:
    if call.f == "put":
        post(connection, "/v3/kv/put", {"key": text(call.key), "value": text(json.dumps(call.value))})
        return None
    return get(connection, call.key)


def get(connection: http.client.HTTPConnection, key: str, *, serializable: bool = False) -> Any:
    """The key's value; None where it is absent. Serializable reads are answered without asking anybody."""
    answer = post(connection, "/v3/kv/range", {"key": text(key), "serializable": serializable})
    values = answer.get("kvs", [])
    return json.loads(base64.b64decode(values[0]["value"])) if values else None


def post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST to the JSON gateway; anything but 200 raises: nobody knows what happened."""
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise ConnectionError(f"etcd answered {response.status}: {content[:200]!r}")
    answer: dict[str, Any] = json.loads(content)
    return answer


def text(value: str) -> str:
    """Base64, as the gateway wants its bytes."""
    return base64.b64encode(value.encode()).decode()
