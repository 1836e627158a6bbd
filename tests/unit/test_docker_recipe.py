"""From a recipe to the body of the engine's request: everything said arrives, and what is ours wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_coordchaos.runtimes.docker_recipe import payload, written_texts
from pytest_coordchaos.system.recipe import Mount, MountKind, Recipe

RECIPE = Recipe(
    image="some",
    config={"Cmd": ["run"], "Labels": {"theirs": "1", "coordchaos.run": "forged"}},
    host={"Memory": 64, "ExtraHosts": ["outside:10.0.0.1"]},
    mounts=(
        Mount(kind=MountKind.BIND, source="/here", target="/a", read_only=True, create=True, options={"selinux": "z"}),
        Mount(kind=MountKind.BIND, source="/here", target="/b", options={"propagation": "rslave"}),
        Mount(kind=MountKind.VOLUME, source="data", target="/c", create=True, options={"NoCopy": True}),
        Mount(kind=MountKind.EXTERNAL, source="theirs", target="/d", read_only=True),
        Mount(kind=MountKind.ANONYMOUS, source="", target="/e"),
        Mount(kind=MountKind.TEXT, source="secret", target="/f", read_only=True, mode=0o400),
    ),
)


def body(tmp_path: Path) -> dict[str, Any]:
    return payload(
        RECIPE,
        network="net",
        address="198.18.0.9",
        labels={"coordchaos.run": "r1"},
        hosts=[("db", "198.18.0.9")],
        volumes={"data": "r1_data"},
        texts=written_texts(RECIPE, tmp_path / "texts"),
    )


def test_what_a_recipe_says_arrives_and_labels_of_ours_win(tmp_path: Path) -> None:
    made = body(tmp_path)

    assert (made["Image"], made["Cmd"], made["HostConfig"]["Memory"]) == ("some", ["run"], 64)
    assert made["Labels"] == {"theirs": "1", "coordchaos.run": "r1"}
    assert made["HostConfig"]["ExtraHosts"] == ["outside:10.0.0.1", "db:198.18.0.9"]


def test_a_container_is_on_the_clusters_network_alone_without_a_name_there(tmp_path: Path) -> None:
    made = body(tmp_path)

    assert made["HostConfig"]["NetworkMode"] == "net"
    assert made["NetworkingConfig"] == {"EndpointsConfig": {"net": {"IPAMConfig": {"IPv4Address": "198.18.0.9"}}}}
    assert "PortBindings" not in made["HostConfig"]


def test_each_mount_takes_the_form_that_the_engine_has_for_it(tmp_path: Path) -> None:
    host = body(tmp_path)["HostConfig"]

    assert host["Binds"] == ["/here:/a:ro,z"]
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/here", "Target": "/b", "ReadOnly": False, "BindOptions": {"Propagation": "rslave"}},
        {"Type": "volume", "Source": "r1_data", "Target": "/c", "ReadOnly": False, "VolumeOptions": {"NoCopy": True}},
        {"Type": "volume", "Source": "theirs", "Target": "/d", "ReadOnly": True},
        {"Type": "volume", "Target": "/e", "ReadOnly": False},
        {"Type": "bind", "Source": str(tmp_path / "texts" / "text-0"), "Target": "/f", "ReadOnly": True},
    ]


def test_a_text_is_written_once_with_its_mode(tmp_path: Path) -> None:
    (file,) = written_texts(RECIPE, tmp_path).values()
    written = file.stat()

    assert file.read_text() == "secret"
    assert written.st_mode & 0o777 == 0o400
    assert written_texts(RECIPE, tmp_path)["/f"].stat().st_mtime_ns == written.st_mtime_ns
