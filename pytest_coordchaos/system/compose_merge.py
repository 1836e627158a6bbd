"""A service laid over the one it extends, by Compose's rules. Pure.

Commands are replaced. Mappings are merged. Of lists, those that name something (environment, labels, volumes by target,
extra hosts) are merged by that name; other lists are joined, each entry once. All else is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_coordchaos.system.compose_values import entries, texts, variables

__all__ = ["merge_services"]

_REPLACED = ("command", "entrypoint", "test")
_VARIABLES = ("environment", "labels", "args", "annotations", "sysctls", "extra_hosts")


def merge_services(base: Mapping[str, Any], over: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`over` laid over `base`, key by key."""
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merged(key, base[key], value, f"{where}: {key}") if base.get(key) is not None else value
    return merged


def _merged(key: str, base: Any, over: Any, where: str) -> Any:
    if over is None:
        return base
    if key in _REPLACED:
        return over
    shape = _SHAPES.get(key)
    if shape is not None:
        return {**shape(base, where), **shape(over, where)}
    if key == "volumes":
        return list({_target(item): item for item in [*entries(base, where), *entries(over, where)]}.values())
    if isinstance(base, dict) and isinstance(over, dict):
        return merge_services(base, over, where)
    if isinstance(base, list) or isinstance(over, list):
        joined = [*entries(base, where), *entries(over, where)]
        return [item for index, item in enumerate(joined) if item not in joined[:index]]
    return over


def _dependencies(value: Any, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else {name: {"condition": "service_started"} for name in texts(value, where)}


def _networks(value: Any, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else dict.fromkeys(texts(value, where))


def _hosts(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return dict(item.replace("=", ":", 1).split(":", 1) if "=" in item else item.split(":", 1) for item in texts(value, where))


_SHAPES: Mapping[str, Callable[[Any, str], dict[str, Any]]] = {
    **dict.fromkeys(_VARIABLES, variables),
    "depends_on": _dependencies,
    "networks": _networks,
    "extra_hosts": _hosts,
}


def _target(volume: Any) -> Any:
    if isinstance(volume, dict):
        return volume.get("target")
    parts = str(volume).split(":")
    return parts[1] if len(parts) > 1 else parts[0]
