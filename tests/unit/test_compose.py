"""From a compose file to a System: what each key becomes, and one sentence for each that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_coordchaos import Port, System, UsageError
from pytest_coordchaos.system.recipe import After, Mount, MountKind, Recipe
from pytest_coordchaos.wiring import edges

SHOP = Path(__file__).parents[2] / "fixtures" / "compose" / "shop"
Written = Callable[..., System]


@pytest.fixture
def system_of(tmp_path: Path) -> Written:
    """Writes a compose file (its text, or the text of its one service) and reads it."""

    def read(text: str, **given: Any) -> System:
        if "services:" not in text:
            lines = "\n".join(f"    {line}" for line in text.strip().splitlines())
            text = f"services:\n  one:\n{lines}\n"
        if "image:" not in text and "build:" not in text:
            text = text.replace("  one:\n", "  one:\n    image: some\n", 1)
        (tmp_path / "compose.yaml").write_text(text)
        return System.from_compose(tmp_path, **{"environ": {}, **given})

    return read


def recipe_of(system: System, name: str = "one") -> Recipe:
    (recipe,) = (node.recipe for node in system.everyone if node.name == name)
    assert recipe is not None
    return recipe


@pytest.fixture(scope="module")
def shop() -> System:
    """The shop of the fixtures, its database's protocol told."""
    ports = {"db": [Port("sql", number=5432)], "web": [Port("http", number=80, protocol="http1")]}
    return System.from_compose(SHOP, ports=ports, environ={})


def test_each_instance_is_a_node_and_a_job_is_none(shop: System) -> None:
    assert shop.name == "shop"
    assert shop.node_names == ("db", "api-1", "api-2", "web")
    assert [job.name for job in shop.jobs] == ["migrate"]
    assert shop.runtimes == ("docker",)


def test_links_lead_to_known_ports_between_services_that_share_a_network(shop: System) -> None:
    assert {str(link) for link in edges(shop)} == {
        *("api-1->db:sql", "api-2->db:sql", "migrate->db:sql", "clients->db:sql"),
        *("db->api-1:8000", "db->api-2:8000", "web->api-1:8000", "web->api-2:8000", "migrate->api-1:8000"),
        *("migrate->api-2:8000", "api-1->api-2:8000", "api-2->api-1:8000", "clients->api-1:8000", "clients->api-2:8000"),
        *("api-1->web:http", "api-2->web:http", "clients->web:http"),
    }


def test_a_declared_port_has_its_protocol_and_others_are_known_by_number(shop: System) -> None:
    assert shop.port("web", "http").protocol == "http1"
    assert shop.port("api-1", "8000").protocol == "bytes"
    assert [shop.port(*place).listens for place in (("db", "sql"), ("api-1", "8000"))] == [True, False]


def test_a_node_is_ready_when_it_is_healthy_and_its_declared_ports_accept(shop: System) -> None:
    assert [ready.name if (ready := shop.ready_of(name)) else "" for name in ("db", "api-1")] == [
        "is healthy and port sql accepts",
        "is healthy",
    ]


def test_what_the_database_asks_for_reaches_the_engine(shop: System) -> None:
    recipe = recipe_of(shop, "db")

    assert recipe.image == "postgres:16"
    assert recipe.config["Env"] == ["PGOPTIONS=-c fsync=on", "TZ=UTC", "POSTGRES_PASSWORD=secret", "POSTGRES_DB=shop"]
    assert recipe.config["StopSignal"] == "SIGINT"
    assert recipe.config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "pg_isready -U postgres"],
        "Interval": 500_000_000,
        "Timeout": 2_000_000_000,
        "Retries": 20,
    }
    assert recipe.host == {"ShmSize": 128 << 20, "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]}
    assert recipe.mounts == (
        Mount(kind=MountKind.VOLUME, source="data", target="/var/lib/postgresql/data", create=True),
        Mount(
            kind=MountKind.BIND,
            source=str(SHOP / "init.sql"),
            target="/docker-entrypoint-initdb.d/init.sql",
            read_only=True,
            create=True,
        ),
    )


def test_who_waits_for_whom_and_for_what(shop: System) -> None:
    assert recipe_of(shop, "api-2").after == {"db": After.HEALTHY, "migrate": After.COMPLETED}
    assert recipe_of(shop, "migrate").after == {"db": After.HEALTHY}
    assert recipe_of(shop, "web").after == {"api-1": After.STARTED, "api-2": After.STARTED}


def test_names_of_one_instance_and_those_it_shares(shop: System) -> None:
    assert recipe_of(shop, "api-2").names == ("api", "backend", "api-2", "shop-api-2")
    assert recipe_of(shop, "api-2").shared_names == {"api", "backend"}
    assert recipe_of(shop, "web").shared_names == frozenset()


def test_host_ports_limits_secrets_and_commands(shop: System) -> None:
    web, api = recipe_of(shop, "web"), recipe_of(shop, "api-1")

    assert web.publish == {"http": ("127.0.0.1", 8080)}
    assert web.host == {"Init": True, "CapAdd": ["NET_ADMIN"], "Tmpfs": {"/run": "", "/tmp": "size=16m"}}
    assert api.host == {"NanoCpus": 500_000_000, "Memory": 256 << 20}
    assert api.config["Env"][1] == "PRICE_IN=$"
    assert [(mount.source, mount.target) for mount in api.mounts] == [(str(SHOP / "token.txt"), "/run/secrets/token")]
    assert recipe_of(shop, "migrate").config["Cmd"] == ["migrate", "--to", "latest version"]


def test_a_profile_is_started_when_it_is_asked_for() -> None:
    named = System.from_compose(SHOP, profiles=["debug"], environ={})
    by_variable = System.from_compose(SHOP, environ={"COMPOSE_PROFILES": "debug"}, publish=False)

    assert "pgadmin" in named.node_names
    assert "pgadmin" in by_variable.node_names
    assert recipe_of(by_variable, "pgadmin").publish == {}


def test_the_projects_own_volumes_are_used_only_when_asked_for() -> None:
    recipe = recipe_of(System.from_compose(SHOP, volumes="project", environ={}), "db")

    assert recipe.volumes == {}
    assert (recipe.mounts[0].kind, recipe.mounts[0].source) == (MountKind.EXTERNAL, "shop_data")


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("command: [a, 'b c', 3]", "Cmd", ["a", "b c", "3"]),
        ("command: a 'b c' $$X", "Cmd", ["a", "b c", "$X"]),
        ("command: []", "Cmd", []),
        ("entrypoint: sh -c", "Entrypoint", ["sh", "-c"]),
        ("entrypoint: sh -c", "Cmd", []),
        ("user: 1000", "User", "1000"),
        ("working_dir: /srv", "WorkingDir", "/srv"),
        ("hostname: me", "Hostname", "me"),
        ("tty: yes", "Tty", True),
        (
            "environment: {A: true, B: 1.50, C: 0644, D: 1e6, E: '01', F: }",
            "Env",
            ["A=true", "B=1.5", "C=420", "D=1e+06", "E=01"],
        ),
        ("environment: [A=1, B, C=x=y]", "Env", ["A=1", "C=x=y"]),
        ("labels: [a=1, b]", "Labels", {"a": "1", "b": ""}),
        ("healthcheck: {disable: true}", "Healthcheck", {"Test": ["NONE"]}),
        (
            "healthcheck: {test: [CMD, x], start_period: 1m30s}",
            "Healthcheck",
            {"Test": ["CMD", "x"], "StartPeriod": 90_000_000_000},
        ),
    ],
)
def test_the_containers_configuration(system_of: Written, text: str, where: str, expected: Any) -> None:
    assert recipe_of(system_of(text)).config[where] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mem_limit: 1.5g", {"Memory": 3 << 29}),
        ("cpus: 0.25", {"NanoCpus": 250_000_000}),
        ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 64m, pids: 9}}}", {"Memory": 64 << 20, "PidsLimit": 9}),
        ("extra_hosts: ['a=1.2.3.4', 'b:::1']", {"ExtraHosts": ["a:1.2.3.4", "b:::1"]}),
        ("extra_hosts: {a: 1.2.3.4}", {"ExtraHosts": ["a:1.2.3.4"]}),
        ("ulimits: {nproc: 5}", {"Ulimits": [{"Name": "nproc", "Soft": 5, "Hard": 5}]}),
        (
            "devices: ['/dev/null:/dev/x:r']",
            {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]},
        ),
        ("tmpfs: /run", {"Tmpfs": {"/run": ""}}),
        ("volumes: [{type: tmpfs, target: /x, tmpfs: {size: 1m, mode: 0700}}]", {"Tmpfs": {"/x": "size=1048576,mode=700"}}),
        ("privileged: true\nread_only: false", {"Privileged": True, "ReadonlyRootfs": False}),
        ("ipc: host\nsysctls: {net.core.somaxconn: 1024}", {"IpcMode": "host", "Sysctls": {"net.core.somaxconn": "1024"}}),
    ],
)
def test_the_host_configuration(system_of: Written, text: str, expected: dict[str, Any]) -> None:
    assert recipe_of(system_of(text)).host == expected


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ("/data", (MountKind.ANONYMOUS, "", False)),
        ("named:/data:ro", (MountKind.VOLUME, "named", True)),
        ("outside:/data", (MountKind.EXTERNAL, "elsewhere", False)),
        ("/etc:/data:ro,z", (MountKind.BIND, "/etc", True)),
        ("{type: volume, source: named, target: /data}", (MountKind.VOLUME, "named", False)),
        ("{type: bind, source: /usr/../etc, target: /data}", (MountKind.BIND, "/etc", False)),
    ],
)
def test_volumes(system_of: Written, volume: str, expected: tuple[Any, ...]) -> None:
    text = f"services: {{one: {{image: x, volumes: [{volume if volume.startswith('{') else repr(volume)}]}}}}"
    system = system_of(f"{text}\nvolumes: {{named: {{}}, outside: {{external: true, name: elsewhere}}}}")

    (mount,) = recipe_of(system).mounts
    assert mount.target == "/data"
    assert (mount.kind, mount.source, mount.read_only) == expected


@pytest.mark.parametrize(
    ("port", "ports", "publish"),
    [
        ("80", ["80"], {}),
        (80, ["80"], {}),
        ("8080:80", ["80"], {"80": ("127.0.0.1", 8080)}),
        ("0.0.0.0:8080:80/tcp", ["80"], {"80": ("127.0.0.1", 8080)}),
        ("127.0.0.5:8080:80", ["80"], {"80": ("127.0.0.5", 8080)}),
        ("[::]:8080:80", ["80"], {"80": ("127.0.0.1", 8080)}),
        ("22:22", ["22"], {"22": ("127.0.0.1", 22)}),
        ("8000-8001:90-91", ["90", "91"], {"90": ("127.0.0.1", 8000), "91": ("127.0.0.1", 8001)}),
        ("127.0.0.1::80", ["80"], {}),
        ("53/udp", ["53-udp"], {}),
        ("5300:53/UDP", ["53-udp"], {"53-udp": ("127.0.0.1", 5300)}),
        ({"target": 53, "published": 5300, "protocol": "udp"}, ["53-udp"], {"53-udp": ("127.0.0.1", 5300)}),
        ({"target": 80, "published": "8080", "protocol": "tcp", "mode": "host"}, ["80"], {"80": ("127.0.0.1", 8080)}),
    ],
)
def test_ports(system_of: Written, port: Any, ports: list[str], publish: dict[str, Any]) -> None:
    system = system_of(f"ports: [{port!r}]")

    assert [one.name for one in system.ports_of("one")] == ports
    assert recipe_of(system).publish == publish


def test_one_number_may_be_a_port_of_tcp_and_one_of_udp(system_of: Written) -> None:
    declared = [Port("query", number=53, transport="udp"), Port("sql", number=5432)]
    system = system_of("ports: ['53:53', '5300:53/udp']\nexpose: [5432, '5432/udp']", ports={"one": declared})

    assert [(one.name, one.transport) for one in system.ports_of("one")] == [
        ("query", "udp"),
        ("sql", "tcp"),
        ("5432-udp", "udp"),
        ("53", "tcp"),
    ]
    assert recipe_of(system).publish == {"query": ("127.0.0.1", 5300), "53": ("127.0.0.1", 53)}
    assert system.ready_of("one").name == "is healthy and port sql accepts"  # type: ignore[union-attr]  # it has one


def test_a_build_is_described_for_the_engine(system_of: Written, tmp_path: Path) -> None:
    system = system_of("build: {context: sub, dockerfile: Other, args: {A: 1, B: }, target: run, labels: {x: y}}")
    short = system_of("build: .\nimage: theirs")

    build = recipe_of(system).build
    assert build is not None
    assert (build.context, build.dockerfile, build.args) == (str(tmp_path / "sub"), "Other", {"A": "1", "B": None})
    assert build.options == {"target": "run", "labels": {"x": "y"}}
    assert recipe_of(system).image == recipe_of(short).image != "theirs"


EXTENDED = """
services:
  base:
    image: base
    command: first
    environment: {A: base, B: base}
    volumes: ['/data', './b:/b']
    expose: [1]
    profiles: [never]
  one:
    extends: {service: base}
    command: second
    environment: [B=one]
    volumes: ['./c:/b']
    expose: [2]
    profiles: []
"""


def test_a_service_is_laid_over_the_one_it_extends(system_of: Written, tmp_path: Path) -> None:
    system = system_of(EXTENDED.replace("    profiles: []\n", ""), profiles=["never"])
    recipe = recipe_of(system)

    assert recipe.config["Cmd"] == ["second"]
    assert recipe.config["Env"] == ["A=base", "B=one"]
    assert [mount.source for mount in recipe.mounts] == ["", str(tmp_path / "c")]
    assert [port.name for port in system.ports_of("one")] == ["1", "2"]


def test_a_service_of_another_file_keeps_its_own_paths(system_of: Written, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "base.yaml").write_text("services: {base: {build: ., env_file: a.env, volumes: ['./d:/d']}}")
    (tmp_path / "lib" / "a.env").write_text("A=1")

    recipe = recipe_of(system_of("extends: {file: lib/base.yaml, service: base}\nimage: x"))

    assert recipe.build is not None
    assert recipe.build.context == str(tmp_path / "lib")
    assert recipe.mounts[0].source == str(tmp_path / "lib" / "d")
    assert recipe.config["Env"] == ["A=1"]


def test_secrets_and_configs_may_be_texts(system_of: Written) -> None:
    text = """
services:
  one: {image: x, secrets: [{source: s, target: pw, mode: 0400}], configs: [c]}
secrets: {s: {environment: TOKEN}}
configs: {c: {content: "a=${TOKEN}"}}
"""
    mounts = recipe_of(system_of(text, environ={"TOKEN": "t"})).mounts

    assert [(mount.kind, mount.source, mount.target, mount.mode) for mount in mounts] == [
        (MountKind.TEXT, "t", "/run/secrets/pw", 0o400),
        (MountKind.TEXT, "a=t", "/c", 0o444),
    ]


def test_links_and_container_names_are_names(system_of: Written) -> None:
    text = "services:\n  one: {image: x, container_name: the-one}\n  two: {image: x, links: ['one:uno']}"
    system = system_of(text)

    assert recipe_of(system).names[:3] == ("one", "the-one", "uno")
    assert recipe_of(system, "two").after == {"one": After.STARTED}


def test_names_that_no_host_may_have_are_still_services(system_of: Written) -> None:
    assert system_of("services: {User_Service.v2: {image: x}}").node_names == ("User_Service.v2",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("network_mode: host", r"service one: key 'network_mode' is not supported: its traffic could not be led through links"),
        ("imagee: x", "service one: key 'imagee' is not known; honoured here: annotations, build"),
        ("gpus: all", "service one: key 'gpus' is not supported"),
        ("networks: {default: {ipv4_address: 10.0.0.2}}", r"service one: networks\.default: key 'ipv4_address' is not supported"),
        ("networks: [other]", "service one: networks: 'other' is not declared under networks; declared: none"),
        ("volumes: ['x:/y']", "service one: volumes 'x:/y': volume 'x' is not declared under volumes; declared: none"),
        ("volumes: [x]", r"volumes 'x' is not allowed; \[SOURCE:\]TARGET"),
        ("volumes: [{type: npipe, target: /x}]", "type 'npipe' is not supported"),
        ("ports: ['80/sctp']", "service one: ports '80/sctp': 'sctp' is not supported; links carry tcp and udp"),
        ("expose: ['80/sctp']", "service one: expose '80/sctp': 'sctp' is not supported; links carry tcp and udp"),
        ("ports: ['10.1.2.3:80:80']", "host address '10.1.2.3' is not supported; ports are published on loopback only"),
        ("ports: ['8000-8010:80']", "a range of host ports needs a range of targets"),
        ("ports: [eighty]", "it is no port"),
        ("ports: ['99999']", "is no port; allowed: 1 to 65535"),
        ("depends_on: [nobody]", "service one: depends_on: it waits for 'nobody', but there is no such service"),
        ("depends_on: {one: {condition: service_ready}}", "'service_ready' is not allowed; service_started, service_healthy"),
        ("depends_on: [one]", "services wait for each other in a circle: one -> one"),
        ("scale: 2\nports: ['80:80']", "2 instances cannot share a host port"),
        ("scale: 2\ncontainer_name: x", "container_name cannot name 2 instances"),
        ("scale: many", "scale: 'many' is not allowed; a whole number"),
        ("mem_limit: lots", "service one: mem_limit: 'lots' is not a size"),
        ("healthcheck: {interval: 5}", r"healthcheck\.interval: 5 is not a duration"),
        ("healthcheck: {test: [pg_isready]}", "a list that begins with CMD"),
        ('command: "a \'b"', "service one: command: .* cannot be split into words"),
        ("env_file: no.env", r"env_file .*no\.env is not there"),
        ("init: maybe", "init: 'maybe' is not allowed; true or false"),
        ("pid: service:db", "'service:db' is not supported"),
        ("extends: one", "service one: it extends itself"),
        ("extends: {service: nobody}", "there is no service 'nobody'; it has: one"),
        ("pull_policy: hourly", "pull_policy: 'hourly' is not allowed; missing"),
        ("image: ${TAG:?which one}", "one.image: variable TAG is not set: which one"),
        ("image: ${TAG:=x}", r"'\$\{TAG:=x\}' is not a variable; allowed"),
        ("build: {context: ., ssh: [default]}", "service one: build: key 'ssh' is not supported"),
        ("deploy: {mode: replicated-job}", "deploy.mode 'replicated-job' is not supported"),
        ("profiles: [x]", "no service is left to be a node"),
        ("secrets: [s]", "'s' is not declared under secrets"),
        ("services: {}", "it holds no services"),
        ("command: echo $(date)", r"after '\$' comes a variable's name"),
        ("services: {clients: {image: x}}", "Node name 'clients' is not allowed"),
        ("include: [x.yaml]\nservices: {one: {image: x}}", "key 'include' is not supported: run `docker compose config`"),
        ("servcies: {}\nservices: {one: {image: x}}", "key 'servcies' is not known"),
        ("services: {one: {image: x}}\nsecrets: {s: {external: true}}", "secrets.s: key 'external' is not supported"),
        ("services: [", "line 1, column 12: expected the node content"),
        ("services: {one: {image: x, image: y}}", "key 'image' is given twice"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(system_of: Written, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as error:
        system_of(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"ports": {"nobody": []}}, "ports= names service 'nobody', but .* has: one"),
        ({"ports": {"one": [Port("sql")]}}, r"service one: Port\('sql'\) needs number="),
        ({"ports": {"one": [Port("a", number=1), Port("b", number=1)]}}, "two declared ports have one number: 1, 1"),
        ({"volumes": "keep"}, "volumes='keep' is not allowed; own, project"),
        ({"profiles": "debug"}, "profiles='debug' is one text"),
    ],
)
def test_what_the_caller_says_wrong_is_refused(system_of: Written, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        system_of("image: x", **given)


def test_a_service_without_image_and_build_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {one: {command: x}}")
    with pytest.raises(UsageError, match="service one: it gives neither image nor build"):
        System.from_compose(tmp_path)


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        System.from_compose(tmp_path / "compose.yaml")
    with pytest.raises(UsageError, match=r"the directory holds none of compose\.yaml"):
        System.from_compose(tmp_path)
