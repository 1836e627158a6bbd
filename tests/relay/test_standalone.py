"""`coordchaos relay`: flags, start line, config file, signals and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.relay.conformance.rig import Api, free_port, running

COMMAND = [sys.executable, "-m", "pytest_coordchaos.cli", "relay"]


@contextmanager
def started(*flags: str, level: str = "info") -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """A relay, and what it logged until its API listened."""
    process = subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE, text=True, env={**os.environ, "LOG_LEVEL": level})
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []
    try:
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1]["message"] == "Starting Toxiproxy HTTP server":
                break
        yield process, lines
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("dashes", ["-", "--"])
def test_it_says_where_it_listens_and_ends_cleanly(number: int, dashes: str) -> None:
    port = free_port()
    with started(f"{dashes}host=127.0.0.1", f"{dashes}port", str(port)) as (process, lines):
        assert lines[-1]["address"] == f"127.0.0.1:{port}"
        assert Api("relay", ("127.0.0.1", port), process.pid).call("GET", "/version").status == 200
        process.send_signal(number)

        assert process.wait(20) == 0


def test_its_api_is_on_this_machine_only_unless_told_otherwise() -> None:
    with started("-port", "0") as (_, lines):
        assert lines[-1]["listen"].startswith("127.0.0.1:")


def test_proxies_of_a_file_are_there_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "proxies.json"
    config.write_text(
        '[{"name": "a", "upstream": "b:1", "listen": "127.0.0.1:0"}, {"name": "c", "upstream": "b:1", "enabled": false}]'
    )
    with running("relay", "-config", str(config)) as api:
        proxies = api.call("GET", "/proxies").json

    assert {name: proxy["enabled"] for name, proxy in proxies.items()} == {"a": True, "c": False}


@pytest.mark.parametrize(
    ("text", "message"), [(None, "Error reading config file"), ("[{}]", "Failed to populate proxies from file")]
)
def test_a_bad_file_is_named_and_the_api_is_there_all_the_same(tmp_path: Path, text: str | None, message: str) -> None:
    config = tmp_path / "proxies.json"
    if text is not None:
        config.write_text(text)
    with started("-port", "0", "-config", str(config)) as (process, lines):
        assert process.poll() is None
        assert [line["config"] for line in lines if line["message"] == message] == [str(config)]


def test_a_taken_port_ends_it_with_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*COMMAND, "-host", "127.0.0.1", "-port", str(port)], capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["error"] == f"listen tcp 127.0.0.1:{port}: bind: address already in use"


@pytest.mark.parametrize(
    ("flags", "there", "absent"),
    [
        (["-proxy-metrics"], "toxiproxy_proxy_received_bytes_total", "process_cpu_seconds_total"),
        (["--runtime-metrics=true"], "process_cpu_seconds_total", "toxiproxy_proxy_received_bytes_total"),
    ],
)
def test_each_metrics_flag_brings_its_metrics(flags: list[str], there: str, absent: str) -> None:
    with running("relay", *flags) as api:
        api.proxy("p", ("127.0.0.1", 1))
        answer = api.call("POST", "/metrics")

    assert answer.status == 200
    assert there in answer.body.decode()
    assert absent not in answer.body.decode()


def test_the_version_and_bad_flags() -> None:
    version = subprocess.run([*COMMAND, "-version"], capture_output=True, text=True, timeout=60)
    wrong = subprocess.run([*COMMAND, "-nonsense"], capture_output=True, text=True, timeout=60)

    assert (version.returncode, version.stdout) == (0, "coordchaos relay, Toxiproxy API version 2.12.0\n")
    assert wrong.returncode == 64
    assert "-nonsense" in wrong.stderr


def test_log_level_decides_what_is_said() -> None:
    port = free_port()
    with started("-host", "127.0.0.1", "-port", str(port), level="debug") as (process, _):
        Api("relay", ("127.0.0.1", port), process.pid).call("GET", "/version")
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())

    assert (line["level"], line["method"], line["url"], line["status"]) == ("debug", "GET", "/version", 200)


def test_a_declared_protocol_is_counted() -> None:
    with running("relay", "-proxy-metrics") as api, socket.create_server(("127.0.0.1", 0)) as node:
        api.proxy("p", node.getsockname(), protocol="json-lines")
        with api.dial("p") as client:
            client.sendall(b'{"type":"a"}\n' * 3)
            far, _ = node.accept()
            assert far.recv(13)
            far.close()
            text = api.call("GET", "/metrics").body.decode()

    assert 'coordchaos_messages_total{direction="upstream",protocol="json-lines",proxy="p"} 3' in text
