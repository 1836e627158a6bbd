"""What becomes of each key of a compose file: one table, which the code obeys and the docs page repeats. Pure.

A key that is not in it is refused: a service that runs otherwise than its file says proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from pytest_coordchaos.errors import UsageError

__all__ = ["TABLE", "Key", "Treatment", "check_keys", "markdown"]


class Treatment(StrEnum):
    """What is done with a key."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Key:
    """One row.

    Args:
        place: Of which mapping it is a key.
        name: The key.
        treatment: What is done with it.
        note: How it is honoured, why it is ignored, or what to do instead.
    """

    place: str
    name: str
    treatment: Treatment
    note: str = ""


_FILE, _SERVICE, _BUILD, _HEALTH = "the file", "a service", "build", "healthcheck"
_DEPENDS, _DEPLOY, _LIMITS, _PORT, _VOLUME = "depends_on", "deploy", "deploy.resources.limits", "ports", "volumes of a service"
_NETWORK, _TOP_VOLUME, _TOP_NETWORK, _SECRET, _USE = (
    "networks of a service",
    "volumes",
    "networks",
    "secrets and configs",
    "secrets and configs of a service",
)

_HONOURED = {
    _FILE: {
        "services": "each instance of a service becomes a node",
        "name": "part of the names of containers and images",
        "networks": "one private network carries all; two services are linked when they share one of these",
        "volumes": "a fresh volume for each cluster, removed with it; `external` ones are used as they are and never removed",
        "secrets": "from `file` or `environment`",
        "configs": "from `file`, `environment` or `content`",
    },
    _SERVICE: {
        **dict.fromkeys(["command", "entrypoint"], "a text is split as a shell would split it"),
        **dict.fromkeys(["environment", "env_file", "image", "user", "working_dir", "labels", "label_file"], ""),
        "build": "built with the engine on first use",
        "depends_on": "order and conditions, at the start of the cluster",
        "links": "a dependency; the alias is known to every service",
        "healthcheck": "when the node counts as ready; that of the image where none is given",
        "ports": "the container's side becomes a link, of TCP or UDP; the host's side is the clients' link, on loopback only",
        "expose": "becomes a link, of TCP or UDP",
        "volumes": "bind mounts and external volumes are used as they are and never removed",
        "networks": "aliases; who is linked with whom",
        "configs": "mounted read-only",
        "secrets": "mounted read-only under /run/secrets",
        "container_name": "a name under which others find the service; the container itself has a name of its own",
        "profiles": "only services of the profiles asked for are started",
        "extends": "from the same or another file",
        "scale": "n instances: nodes `db-1` … `db-n`, all behind the name `db`",
        "deploy": "`replicas` and `resources.limits`",
        "pull_policy": "",
        "platform": "when an image is pulled or built",
        "stop_signal": "told to the engine; a kill is SIGKILL all the same",
        **dict.fromkeys(["ipc", "pid"], "not `service:…` or `container:…`"),
        **dict.fromkeys(
            [
                *("annotations", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "cpu_period", "cpu_quota", "cpu_rt_period"),
                *("cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "device_cgroup_rules", "devices", "dns", "dns_opt"),
                *("dns_search", "domainname", "extra_hosts", "group_add", "hostname", "init", "mem_limit", "mem_reservation"),
                *("mem_swappiness", "memswap_limit", "oom_kill_disable", "oom_score_adj", "pids_limit", "privileged"),
                *("read_only", "runtime", "security_opt", "shm_size", "stdin_open", "storage_opt", "sysctls", "tmpfs", "tty"),
                *("ulimits", "userns_mode", "uts"),
            ],
            "",
        ),
    },
    _BUILD: dict.fromkeys(
        [
            *("context", "dockerfile", "dockerfile_inline", "args", "target", "labels", "network", "shm_size", "extra_hosts"),
            *("platforms", "pull", "no_cache"),
        ],
        "",
    ),
    _HEALTH: dict.fromkeys(["test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"], ""),
    _DEPENDS: {"condition": "", "required": ""},
    _DEPLOY: {"mode": "`replicated`, `global`", "replicas": "", "resources": "`limits`"},
    _LIMITS: dict.fromkeys(["cpus", "memory", "pids"], ""),
    _PORT: dict.fromkeys(["target", "published", "host_ip", "protocol", "name"], ""),
    _VOLUME: dict.fromkeys(["type", "source", "target", "read_only", "bind", "volume", "tmpfs"], ""),
    _NETWORK: {"aliases": ""},
    _TOP_VOLUME: dict.fromkeys(["driver", "driver_opts", "external", "labels", "name"], ""),
    _TOP_NETWORK: {},
    _SECRET: dict.fromkeys(["file", "environment", "content"], ""),
    _USE: dict.fromkeys(["source", "target", "mode"], ""),
}

_IGNORED = {
    _FILE: {"version": "Compose ignores it too"},
    _SERVICE: {
        "restart": "nodes die when a test kills them, and come back when it says so",
        "develop": "it is for `docker compose watch`",
        "attach": "logs are read through the engine",
        "logging": "logs are read through the engine",
        "stop_grace_period": "nodes are killed",
        "pre_stop": "nodes are killed, which no hook would see",
        **dict.fromkeys(["cpu_count", "cpu_percent", "isolation"], "a matter of Windows"),
        "blkio_config": "a matter of speed alone",
    },
    _BUILD: {
        **dict.fromkeys(["cache_from", "cache_to"], "the engine's own cache is used"),
        "tags": "the image gets a tag of ours",
        "ulimits": "a matter of the build alone",
        "isolation": "a matter of Windows",
        "provenance": "nothing is published",
        "sbom": "nothing is published",
    },
    _DEPENDS: {"restart": "a restarted node comes back alone: that is what is tested"},
    _DEPLOY: dict.fromkeys(
        ["placement", "update_config", "rollback_config", "restart_policy", "labels", "endpoint_mode"], "a matter of Swarm"
    ),
    _PORT: {"mode": "a matter of Swarm", "app_protocol": "declare it with ports={…: [Port(…, protocol=…)]}"},
    _VOLUME: {"consistency": "it has no effect in Compose"},
    _NETWORK: dict.fromkeys(["priority", "gw_priority", "interface_name"], "there is one network"),
    _TOP_NETWORK: dict.fromkeys(
        [
            *(
                "driver",
                "driver_opts",
                "name",
                "labels",
                "ipam",
                "internal",
                "attachable",
                "enable_ipv6",
                "enable_ipv4",
                "external",
            ),
        ],
        "one private network of ours carries all",
    ),
    _SECRET: {"name": "the engine is not asked for it", "labels": "nothing is published", "template_driver": "a matter of Swarm"},
    _USE: dict.fromkeys(["uid", "gid"], "files are mounted as they are, as in Compose"),
}

_RESOLVE = "run `docker compose config` and give the file it prints"
_REFUSED = {
    _FILE: {"include": _RESOLVE, "models": "run the model as a service of its own"},
    _SERVICE: {
        "network_mode": "its traffic could not be led through links; leave it out",
        "external_links": "containers outside the file cannot be put behind links",
        "volumes_from": "name the volume in both services",
        "mac_address": "the network is ours",
        "credential_spec": "a matter of Windows",
        "gpus": "give devices instead",
        "models": "run the model as a service of its own",
        "provider": "only containers can be nodes",
        "post_start": "put it into the command",
        "use_api_socket": "containers started from inside could not be put behind links",
    },
    _BUILD: dict.fromkeys(
        ["ssh", "secrets", "additional_contexts", "privileged", "entitlements"], "build the image beforehand and give image"
    ),
    _NETWORK: dict.fromkeys(
        ["ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "driver_opts"],
        "services are found by name here; an address written down would lead around the links",
    ),
    _SECRET: {"external": "give file or environment", "driver": "give file or environment"},
}

TABLE: tuple[Key, ...] = tuple(
    Key(place, name, treatment, note)
    for place in _HONOURED
    for treatment, rows in ((Treatment.HONOURED, _HONOURED), (Treatment.IGNORED, _IGNORED), (Treatment.REFUSED, _REFUSED))
    for name, note in rows.get(place, {}).items()
)
"""Every key that is known, in order of place and treatment."""

_BY_PLACE: dict[str, dict[str, Key]] = {}
for _key in TABLE:
    _BY_PLACE.setdefault(_key.place, {})[_key.name] = _key
assert sum(map(len, _BY_PLACE.values())) == len(TABLE), "a key is in the table twice"


def check_keys(given: Mapping[str, Any], place: str, where: str) -> None:
    """Refuse what the table refuses or does not know. Keys that begin with `x-` are nobody's business.

    Args:
        where: What the mapping is of, for the sentence ("compose.yaml: service web").

    Raises:
        UsageError: Names `where`, the key, and what to do instead.
    """
    known = _BY_PLACE[place]
    for name, value in given.items():
        if name.startswith("x-") or value is None:
            continue
        key = known.get(name)
        if key is None:
            allowed = ", ".join(_names(known.values(), Treatment.HONOURED)) or "none"
            raise UsageError(f"{where}: key {name!r} is not known; honoured here: {allowed}")
        if key.treatment is Treatment.REFUSED and value not in (False, [], {}):
            raise UsageError(f"{where}: key {name!r} is not supported: {key.note}")


def markdown() -> str:
    """The table as the docs page shows it; keys with one note share a row."""
    lines = ["| Key of | Keys | | How, why, what instead |", "| --- | --- | --- | --- |"]
    for (place, treatment, note), rows in groupby(TABLE, lambda key: (key.place, key.treatment, key.note)):
        lines.append(f"| {place} | {' '.join(f'`{key.name}`' for key in rows)} | {treatment} | {note} |")
    return "\n".join(lines) + "\n"


def _names(keys: Iterable[Key], treatment: Treatment) -> list[str]:
    return sorted(key.name for key in keys if key.treatment is treatment)
