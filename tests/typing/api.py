"""Typed usage of the public API, checked with `mypy --strict`, never run."""

from __future__ import annotations

from pytest_coordchaos import Call, Client, Cluster, Failed, Port, Run, Session, System, Verdict, ready_http, register


async def connect(cluster: object, node: str) -> str:
    return node


def call(connection: str, call: Call) -> object:
    if call.f == "get":
        return call.key
    raise Failed("surely not")


def use(coordchaos: Session) -> tuple[Verdict, ...]:
    system = System(
        nodes=["db-1", "db-2", "db-3"],
        command=["server", "--listen", "{bind:sql}", "--peers", "{peers:sql:%n=%a}"],
        ports=[Port("sql", protocol="http1")],
        ready=ready_http("sql", "/health"),
        client=Client(connect=connect, call=call),
        workloads={"register": register},
    )
    with coordchaos.start(system) as cluster:
        return drive(cluster).verdicts


def drive(cluster: Cluster) -> Run:
    with cluster.partition({"db-1"}, {"db-2", "db-3"}) as fault, cluster.record("put", key="k", value=1) as op:
        assert fault.verified
        op.ok(None)
    cluster.cut("db-1", "db-2").undo()
    cluster.hold("db-1", "db-2", both_ways=True).undo()
    cluster.lose("db-1", "clients", rate=0.2, classes={"reply"}).undo()
    cluster.drop_replies("clients", "db-1").undo()
    host, number = cluster.address("db-1", "sql")
    assert host.startswith("127.")
    assert number > 0
    return cluster.run("register", seconds=5.0, faults=["kill:leader"])
