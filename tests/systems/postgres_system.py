"""A real PostgreSQL server on a data directory of its own, without root and without a service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pytest_coordchaos import Cluster, Port, System, ready_log

USER = "tester"
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
BIN = _DEBIAN[-1] if _DEBIAN else Path(shutil.which("initdb") or "/nowhere/initdb").parent
PRESENT = (BIN / "initdb").exists() and (BIN / "postgres").exists()

# The server refuses to be root: then it is somebody else in a user namespace of its own.
_NOBODY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
_HBA = f"""
host all {USER} 127.0.0.0/8 trust
host replication {USER} 127.0.0.0/8 trust
host all all 127.0.0.0/8 scram-sha-256
"""
_START = f"""
if [ ! -e data/PG_VERSION ]; then
    {BIN}/initdb -D data -A trust -U {USER} --no-sync --no-locale -E UTF8
    cat hba > data/pg_hba.conf
fi
exec {BIN}/postgres -D data -h "$0" -p "$1" -k "" -c fsync=off -c autovacuum=off
"""


def postgres_system() -> System:
    """One server."""
    return System(
        name="postgres",
        nodes=["db"],
        ports=[Port("sql", protocol="postgres")],
        command=[*_NOBODY, "/bin/sh", "-ec", _START, "{host:sql}", "{port:sql}"],
        files={"hba": _HBA},
        ready=ready_log("database system is ready to accept connections"),
    )


def run(cluster: Cluster, program: str, *arguments: str, given: str = "", **environment: str) -> str:
    """Run one of PostgreSQL's own clients through the link, unencrypted unless told otherwise; returns what it printed."""
    host, port = cluster.address("db", "sql")
    defaults = {
        "PATH": os.defpath, "PGHOST": host, "PGPORT": str(port), "PGUSER": USER, "PGDATABASE": "postgres",
        "PGSSLMODE": "disable", "PGGSSENCMODE": "disable",
    }  # fmt: skip
    done = subprocess.run(
        [BIN / program, *arguments], input=given, env={**defaults, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
