"""A real PostgreSQL and its own clients: what the relay counts is what was said."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import BinaryIO

import pytest

from pytest_coordchaos import Cluster
from tests.requirements import require
from tests.systems.postgres_system import BIN, PRESENT, USER, postgres_system, run
from tests.systems.wire_rig import counted
from tests.unit.wire_samples import FLUSH, SYNC, bind, execute, packet, parse, startup

pytestmark = pytest.mark.needs("postgres")
COUNT = 25


@pytest.fixture(scope="module")
def db(session):
    require("postgres", PRESENT, "no PostgreSQL server was found (Debian: apt-get install postgresql)")
    with session.start(postgres_system()) as cluster:
        yield cluster


def test_n_simple_queries_are_n_messages_each_way(session, db: Cluster) -> None:
    queries = [argument for n in range(COUNT) for argument in ("-c", f"select {n}, 'x' from generate_series(1, 100)")]
    with counted(session, db) as seen:
        run(db, "psql", "-X", "-c", "create table if not exists t (a int)", "-c", "insert into t values (1)", *queries)

    there, back = seen.between("clients", "db")
    assert there == {"startup": 1, "CREATE": 1, "INSERT": 1, "SELECT": COUNT, "terminate": 1}
    assert back == {"response": 1 + 2 + COUNT}
    assert seen.framed_share() == 1.0


@pytest.mark.parametrize(("mode", "prepared"), [("simple", 0), ("extended", 0), ("prepared", 1)])
def test_each_transaction_of_a_benchmark_is_one_message_each_way(
    session, db: Cluster, mode: str, prepared: int, tmp_path: Path
) -> None:
    """By simple queries, by extended ones, and by a statement prepared once."""
    script = tmp_path / "script.sql"
    script.write_text("select 1;\n")
    with counted(session, db) as seen:
        run(db, "pgbench", "-n", "-f", str(script), "-t", str(COUNT), "-M", mode)

    there, back = seen.between("clients", "db")
    sessions = there["startup"]
    assert there == {"startup": sessions, "SELECT": COUNT + prepared, "terminate": sessions}
    assert back == {"response": sessions + COUNT + prepared}
    assert seen.framed_share() == 1.0


def test_a_login_by_password_takes_three_messages_each_way(session, db: Cluster) -> None:
    run(db, "psql", "-X", "-c", "create role guest login password 'secret'")
    with counted(session, db) as seen:
        run(db, "psql", "-X", "-c", "select 1", PGUSER="guest", PGPASSWORD="secret", PGSSLMODE="prefer")

    assert seen.between("clients", "db") == (
        {"ssl-request": 1, "startup": 1, "password": 2, "SELECT": 1, "terminate": 1},
        {"response": 1 + 3 + 1},
    )


def test_copying_in_and_out(session, db: Cluster) -> None:
    rows = "".join(f"{n}\n" for n in range(5000))
    with counted(session, db) as seen:
        run(db, "psql", "-X", "-c", "create table c (n int)", "-c", "copy c from stdin", "-c", "copy c to stdout", given=rows)

    assert seen.between("clients", "db") == (
        {"startup": 1, "CREATE": 1, "COPY": 2, "copy": 1, "terminate": 1},
        {"response": 1 + 1 + 2 + 1},
    )
    assert seen.framed_share() == 1.0


def test_a_notification_is_a_message(session, db: Cluster) -> None:
    with counted(session, db) as seen:
        run(db, "psql", "-X", "-c", "listen news", "-c", "notify news, 'one'", "-c", "notify news, 'two'")

    there, back = seen.between("clients", "db")
    assert there == {"startup": 1, "LISTEN": 1, "NOTIFY": 2, "terminate": 1}
    assert back == {"response": 1 + 3, "notification": 2}


def test_a_flushed_batch_is_answered_before_its_sync(session, db: Cluster) -> None:
    """What asyncpg does: parse and describe with a Flush, and run with a Sync when the description came."""
    describe = packet(b"D", b"S\0")
    with counted(session, db) as seen, socket.create_connection(db.address("db", "sql"), timeout=20) as connection:
        stream = connection.makefile("rwb")
        say(stream, startup(b"user\0%s\0database\0postgres\0\0" % USER.encode()), until=b"Z")
        say(stream, parse(b"select 1") + describe + FLUSH, until=b"T")
        say(stream, bind() + execute() + SYNC, until=b"Z")
        say(stream, parse(b"selec 1") + describe + FLUSH, until=b"E")
        say(stream, SYNC, until=b"Z")
        stream.close()

    assert seen.between("clients", "db") == ({"startup": 1, "SELECT": 2, "SELEC": 1, "extended": 1}, {"response": 5})


def test_a_replication_stream_is_counted_part_by_part(session, db: Cluster, tmp_path: Path) -> None:
    """A stock receiver of the write-ahead log, while another client writes."""
    run(db, "psql", "-X", "-c", "create table r (n int)")
    with counted(session, db) as seen:
        host, port = db.address("db", "sql")
        receiver = subprocess.Popen(
            [
                BIN / "pg_receivewal",
                "-D",
                tmp_path,
                "-h",
                host,
                "-p",
                str(port),
                "-U",
                USER,
                "-s",
                "1",
                "--no-loop",
                "--synchronous",
            ],
            stderr=subprocess.PIPE,
        )
        try:
            db.wait_until(lambda: "1" in run(db, "psql", "-XAtc", "select count(*) from pg_stat_replication"), what="a receiver")
            for n in range(5):
                run(db, "psql", "-X", "-c", f"insert into r values ({n})")
            at = run(db, "psql", "-XAtc", "select pg_current_wal_lsn()").strip()
            reached = f"select count(*) from pg_stat_replication where flush_lsn >= '{at}'"
            db.wait_until(lambda: "1" in run(db, "psql", "-XAtc", reached), what="the receiver has it all")
        finally:
            receiver.terminate()
            receiver.communicate(timeout=20)

    there, back = seen.between("clients", "db")
    assert there["START_REPLICATION"] == 1
    assert back["wal"] >= 1
    assert there["status"] >= 1
    assert set(back) <= {"response", "wal", "keepalive", "copy-done"}


def say(stream: BinaryIO, data: bytes, *, until: bytes) -> None:
    """Say something; read packets up to one of that type."""
    stream.write(data)
    stream.flush()
    kind = b""
    while kind != until:
        kind = stream.read(1)
        stream.read(int.from_bytes(stream.read(4), "big") - 4)
