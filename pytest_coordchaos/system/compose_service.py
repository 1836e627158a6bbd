"""From a service of a compose file to what the engine is asked for, in the engine's own names. Pure but for env files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import check_keys
from pytest_coordchaos.system.compose_text import read_env_text
from pytest_coordchaos.system.compose_values import (
    boolean,
    duration_ns,
    entries,
    mapping,
    number,
    one_of,
    pairs,
    scalar,
    size_bytes,
    texts,
    variables,
    whole,
    words,
)
from pytest_coordchaos.system.recipe import Build

__all__ = ["build_of", "config_of", "health_of", "host_of", "image_of"]

_Read = Callable[[Any, str], Any]

_PULL = {"missing": "missing", "if_not_present": "missing", "always": "always", "never": "never", "build": "build"}

_CONFIG: Mapping[str, tuple[str, _Read]] = {
    "command": ("Cmd", words),
    "entrypoint": ("Entrypoint", words),
    "user": ("User", scalar),
    "working_dir": ("WorkingDir", scalar),
    "hostname": ("Hostname", scalar),
    "domainname": ("Domainname", scalar),
    "stop_signal": ("StopSignal", scalar),
    "tty": ("Tty", boolean),
    "stdin_open": ("OpenStdin", boolean),
}
"""Key -> the engine's name in the container's configuration, and how it is read."""


def _hosts(value: Any, where: str) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}:{address}" for name, item in value.items() for address in texts(item, where)]
    return [item.replace("=", ":", 1) if ":" not in item.partition("=")[0] else item for item in texts(value, where)]


def _ulimits(value: Any, where: str) -> list[dict[str, Any]]:
    limits = []
    for name, item in mapping(value, where).items():
        both = item if isinstance(item, dict) else {"soft": item, "hard": item}
        if set(both) != {"soft", "hard"}:
            raise UsageError(f"{where}.{name}: {item!r} is not allowed; a number, or soft and hard")
        limits.append({"Name": name, **{key.capitalize(): whole(both[key], f"{where}.{name}.{key}") for key in both}})
    return limits


def _devices(value: Any, where: str) -> list[dict[str, Any]]:
    found = []
    for item in entries(value, where):
        if isinstance(item, dict):
            source, target, rights = item.get("source"), item.get("target"), item.get("permissions")
        else:
            source, target, rights = (*scalar(item, where).split(":"), None, None)[:3]
        found.append({"PathOnHost": source, "PathInContainer": target or source, "CgroupPermissions": rights or "rwm"})
    return found


def _tmpfs(value: Any, where: str) -> dict[str, str]:
    parts = [item.partition(":") for item in texts(value, where)]
    return {path: options for path, _, options in parts}


def _nano_cpus(value: Any, where: str) -> int:
    return round(number(value, where) * 1e9)


def _no_neighbour(value: Any, where: str) -> str:
    mode = scalar(value, where)
    if mode.startswith(("service:", "container:")):
        raise UsageError(f"{where}: {mode!r} is not supported: containers of nodes share nothing but the network")
    return mode


def _capabilities(value: Any, where: str) -> list[str]:
    return [item.upper() for item in texts(value, where)]


_HOST: Mapping[str, tuple[str, _Read]] = {
    "annotations": ("Annotations", pairs),
    "cap_add": ("CapAdd", _capabilities),
    "cap_drop": ("CapDrop", _capabilities),
    "cgroup": ("CgroupnsMode", scalar),
    "cgroup_parent": ("CgroupParent", scalar),
    "cpu_period": ("CpuPeriod", whole),
    "cpu_quota": ("CpuQuota", whole),
    "cpu_rt_period": ("CpuRealtimePeriod", whole),
    "cpu_rt_runtime": ("CpuRealtimeRuntime", whole),
    "cpu_shares": ("CpuShares", whole),
    "cpus": ("NanoCpus", _nano_cpus),
    "cpuset": ("CpusetCpus", scalar),
    "device_cgroup_rules": ("DeviceCgroupRules", texts),
    "devices": ("Devices", _devices),
    "dns": ("Dns", texts),
    "dns_opt": ("DnsOptions", texts),
    "dns_search": ("DnsSearch", texts),
    "extra_hosts": ("ExtraHosts", _hosts),
    "group_add": ("GroupAdd", texts),
    "init": ("Init", boolean),
    "ipc": ("IpcMode", _no_neighbour),
    "mem_limit": ("Memory", size_bytes),
    "mem_reservation": ("MemoryReservation", size_bytes),
    "mem_swappiness": ("MemorySwappiness", whole),
    "memswap_limit": ("MemorySwap", size_bytes),
    "oom_kill_disable": ("OomKillDisable", boolean),
    "oom_score_adj": ("OomScoreAdj", whole),
    "pid": ("PidMode", _no_neighbour),
    "pids_limit": ("PidsLimit", whole),
    "privileged": ("Privileged", boolean),
    "read_only": ("ReadonlyRootfs", boolean),
    "runtime": ("Runtime", scalar),
    "security_opt": ("SecurityOpt", texts),
    "shm_size": ("ShmSize", size_bytes),
    "storage_opt": ("StorageOpt", pairs),
    "sysctls": ("Sysctls", pairs),
    "tmpfs": ("Tmpfs", _tmpfs),
    "ulimits": ("Ulimits", _ulimits),
    "userns_mode": ("UsernsMode", scalar),
    "uts": ("UTSMode", scalar),
}
"""Key -> the engine's name in the host configuration, and how it is read."""

_LIMITS: Mapping[str, tuple[str, _Read]] = {
    "cpus": ("NanoCpus", _nano_cpus),
    "memory": ("Memory", size_bytes),
    "pids": ("PidsLimit", whole),
}


def config_of(service: Mapping[str, Any], environ: Mapping[str, str], where: str) -> dict[str, Any]:
    """The container's configuration: program, environment, labels, health check."""
    config = _read(service, _CONFIG, where)
    if service.get("entrypoint") is not None and "Cmd" not in config:
        config["Cmd"] = []  # a replaced entry point does not get the image's command
    config["Env"] = [f"{key}={value}" for key, value in _environment(service, environ, where).items()]
    config["Labels"] = {**_label_files(service, where), **pairs(service.get("labels"), f"{where}: labels")}
    health = health_of(service.get("healthcheck"), f"{where}: healthcheck")
    return {**config, **({"Healthcheck": health} if health else {})}


def host_of(service: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The host configuration: capabilities, limits, devices. What `deploy.resources.limits` say wins."""
    deploy = mapping(service.get("deploy"), f"{where}: deploy")
    check_keys(deploy, "deploy", f"{where}: deploy")
    resources = mapping(deploy.get("resources"), f"{where}: deploy.resources")
    limits = mapping(resources.get("limits"), f"{where}: deploy.resources.limits")
    check_keys(limits, "deploy.resources.limits", f"{where}: deploy.resources.limits")
    return {**_read(service, _HOST, where), **_read(limits, _LIMITS, f"{where}: deploy.resources.limits")}


def image_of(service: Mapping[str, Any], where: str) -> tuple[str, str]:
    """(image, when to pull it)."""
    image = scalar(service["image"], f"{where}: image") if service.get("image") is not None else ""
    if not image and service.get("build") is None:
        raise UsageError(f"{where}: it gives neither image nor build")
    policy = service.get("pull_policy")
    if policy is None or str(policy).startswith(("daily", "weekly", "every_")):
        return image, "missing"
    return image, str(one_of(policy, _PULL, f"{where}: pull_policy"))


def build_of(service: Mapping[str, Any], where: str) -> Build | None:
    """How the image is built; None: it is not."""
    if service.get("build") is None:
        return None
    where = f"{where}: build"
    build = mapping(service["build"], where)
    check_keys(build, "build", where)
    options: dict[str, Any] = {}
    for key, (name, read) in _BUILD.items():
        if build.get(key) is not None:
            options[name] = read(build[key], f"{where}.{key}")
    inline = build.get("dockerfile_inline")
    return Build(
        context=scalar(build.get("context", "."), f"{where}.context"),
        dockerfile=scalar(build.get("dockerfile", "Dockerfile"), f"{where}.dockerfile"),
        dockerfile_text=None if inline is None else scalar(inline, f"{where}.dockerfile_inline"),
        args=variables(build.get("args"), f"{where}.args"),
        options=options,
    )


_BUILD: Mapping[str, tuple[str, _Read]] = {
    "target": ("target", scalar),
    "labels": ("labels", pairs),
    "network": ("network_mode", scalar),
    "shm_size": ("shmsize", size_bytes),
    "extra_hosts": ("extra_hosts", lambda value, where: dict(item.split(":", 1) for item in _hosts(value, where))),
    "platforms": ("platform", lambda value, where: texts(value, where)[0]),
    "pull": ("pull", boolean),
    "no_cache": ("nocache", boolean),
}


def health_of(value: Any, where: str) -> dict[str, Any]:
    """The engine's health check; {}: that of the image, if it has one."""
    health = mapping(value, where)
    check_keys(health, "healthcheck", where)
    if boolean(health.get("disable", False), f"{where}.disable"):
        return {"Test": ["NONE"]}
    spans = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod", "start_interval": "StartInterval"}
    found: dict[str, Any] = {
        name: duration_ns(health[key], f"{where}.{key}") for key, name in spans.items() if health.get(key) is not None
    }
    if health.get("retries") is not None:
        found["Retries"] = whole(health["retries"], f"{where}.retries")
    test = health.get("test")
    if isinstance(test, str):
        found["Test"] = ["CMD-SHELL", test]
    elif test is not None:
        found["Test"] = texts(test, f"{where}.test")
        if not found["Test"] or found["Test"][0] not in ("CMD", "CMD-SHELL", "NONE"):
            raise UsageError(f"{where}.test: {test!r} is not allowed; a text, or a list that begins with CMD, CMD-SHELL or NONE")
    return found


def _read(given: Mapping[str, Any], rows: Mapping[str, tuple[str, _Read]], where: str) -> dict[str, Any]:
    found = {}
    for key, (name, read) in rows.items():
        if given.get(key) is not None:
            found[name] = read(given[key], f"{where}: {key}")
    return found


def _environment(service: Mapping[str, Any], environ: Mapping[str, str], where: str) -> dict[str, str]:
    """Env files in order, then `environment`; what is named without a value comes from the environment, or not at all."""
    given: dict[str, str | None] = {}
    for item in service.get("env_file") or ():
        file = Path(item["path"])
        if file.is_file():
            place, raw = f"{where}: env_file {file}", item.get("format") == "raw"
            given.update(read_env_text(_text(file, where), {**environ, **_known(given)}, place, raw=raw))
        elif item["required"]:
            raise UsageError(f"{where}: env_file {file} is not there")
    given.update(variables(service.get("environment"), f"{where}: environment"))
    found = {key: environ.get(key) if value is None else value for key, value in given.items()}
    return _known(found)


def _known(given: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in given.items() if value is not None}


def _label_files(service: Mapping[str, Any], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in service.get("label_file") or ():
        place = f"{where}: label_file {item['path']}"
        found.update(_known(read_env_text(_text(Path(item["path"]), where), {}, place)))
    return found


def _text(file: Path, where: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: {file} cannot be read: {error}") from None
