import json
import socket
import sys
from pathlib import Path

import pytest

from pytest_coordchaos import Port, System, ready_port

SERVER = Path(__file__).with_name("echo_server.py")
SYSTEM = System(
    name="echo",
    nodes=2,
    ports=[
        Port("peer", protocol="json-lines", background=frozenset()),
        Port("client", protocol="json-lines", background=frozenset()),
    ],
    command=[sys.executable, "-S", str(SERVER), "{bind:peer}", "{bind:client}", "{peers:peer:%a}"],
    ready=ready_port("client"),
)


@pytest.fixture(scope="session")
def echo(coordchaos):
    with coordchaos.start(SYSTEM) as cluster:
        yield cluster


@pytest.fixture
def put(echo):
    def put(value=1):
        address = echo.address("n1", "client")
        with echo.record("put", key="k", value=value) as op, socket.create_connection(address) as connection:
            lines = connection.makefile("rw")
            print(json.dumps({"type": "put", "value": value}), file=lines, flush=True)
            op.ok(json.loads(lines.readline())["value"])

    return put
