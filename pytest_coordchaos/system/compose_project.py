"""A compose project as read from its file: variables filled in, `extends` followed, paths made absolute, keys checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.system.compose_keys import check_keys
from pytest_coordchaos.system.compose_merge import merge_services
from pytest_coordchaos.system.compose_text import interpolated, read_env_text
from pytest_coordchaos.system.compose_values import boolean, entries, mapping, scalar
from pytest_coordchaos.system.compose_yaml import read_yaml

__all__ = ["Project", "read_project"]

_FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOP = ("networks", "volumes", "secrets", "configs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a compose file says.

    Args:
        path: The file.
        name: The project's name.
        variables: What `${…}` was filled in from: the environment over `.env`.
        services: Service -> its mapping, `extends` followed, host paths absolute.
        networks, volumes, secrets, configs: The mappings of the same name.
    """

    path: Path
    name: str
    variables: Mapping[str, str]
    services: Mapping[str, dict[str, Any]]
    networks: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    volumes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    configs: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def where(self, service: str) -> str:
        """The service's place, for sentences."""
        return f"{self.path}: service {service}"


def read_project(path: str | Path, environ: Mapping[str, str]) -> Project:
    """Read a compose file, or the one of a directory.

    Args:
        environ: Variables that win over those of `.env` beside the file.

    Raises:
        UsageError: What is wrong, in which file, of which service and key.
    """
    file = _find(Path(path))
    variables = {**_dot_env(file.parent, environ), **environ}
    document = _document(file, variables)
    top = {key: _named(document.get(key), key, file) for key in _TOP}
    services = {name: _resolved(name, file, variables, ()) for name in _services(document, file)}
    if not services:
        raise UsageError(f"{file}: it holds no services")
    for name, service in services.items():
        check_keys(service, "a service", f"{file}: service {name}")
    return Project(path=file, name=_project_name(document, file, variables), variables=variables, services=services, **top)


def _find(path: Path) -> Path:
    if path.is_dir():
        found = next((path / name for name in _FILE_NAMES if (path / name).is_file()), None)
        if found is None:
            raise UsageError(f"from_compose({str(path)!r}): the directory holds none of {', '.join(_FILE_NAMES)}")
        return found.absolute()
    if not path.is_file():
        raise UsageError(f"from_compose({str(path)!r}): there is no such file")
    return path.absolute()


def _dot_env(directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    file = directory / ".env"
    if not file.is_file():
        return {}
    found = read_env_text(_text(file), environ, str(file))
    return {key: value if value is not None else environ.get(key, "") for key, value in found.items()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: it cannot be read: {error}") from None


def _document(file: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = read_yaml(_text(file), str(file))
    check_keys(document, "the file", str(file))
    wanted = {key: value for key, value in document.items() if not key.startswith("x-")}
    return {key: interpolated(value, variables, f"{file}: {key}") for key, value in wanted.items()}


def _named(value: Any, key: str, file: Path) -> dict[str, dict[str, Any]]:
    """A top-level mapping of mappings; sources of secrets and configs made absolute."""
    place = {"networks": "networks", "volumes": "volumes"}.get(key, "secrets and configs")
    found: dict[str, dict[str, Any]] = {}
    for name, item in mapping(value, f"{file}: {key}").items():
        where = f"{file}: {key}.{name}"
        found[name] = dict(mapping(item, where))
        check_keys(found[name], place, where)
        if key in ("secrets", "configs") and "file" in found[name]:
            found[name]["file"] = _absolute(scalar(found[name]["file"], where), file.parent)
    return found


def _services(document: Mapping[str, Any], file: Path) -> dict[str, Any]:
    services = mapping(document.get("services"), f"{file}: services")
    for name in services:
        if not _SERVICE_NAME.fullmatch(name):
            raise UsageError(f"{file}: service name {name!r} is not allowed; letters, digits, and . _ - inside")
    return services


def _resolved(name: str, file: Path, variables: Mapping[str, str], seen: tuple[tuple[Path, str], ...]) -> dict[str, Any]:
    """One service with what it extends beneath it, host paths absolute."""
    where = f"{file}: service {name}"
    if (file, name) in seen:
        raise UsageError(f"{where}: it extends itself, by way of {' -> '.join(service for _, service in seen)}")
    services = _services(_document(file, variables), file)
    if name not in services:
        raise UsageError(f"{file}: there is no service {name!r}; it has: {', '.join(services)}")
    service = _with_absolute_paths(dict(mapping(services[name], where)), file.parent, where)
    extends = service.pop("extends", None)
    if extends is None:
        return service
    base = {"service": extends} if isinstance(extends, str) else mapping(extends, f"{where}: extends")
    if "service" not in base or set(base) - {"service", "file"}:
        raise UsageError(
            f"{where}: extends={extends!r} is not allowed; service: NAME, and file: PATH where it is in another file"
        )
    other = _find(Path(_absolute(scalar(base["file"], where), file.parent))) if "file" in base else file
    parent = _resolved(scalar(base["service"], where), other, variables, (*seen, (file, name)))
    return merge_services(parent, service, where)


def _with_absolute_paths(service: dict[str, Any], directory: Path, where: str) -> dict[str, Any]:
    build = service.get("build")
    if isinstance(build, str):
        service["build"] = {"context": _context(build, directory)}
    elif isinstance(build, dict):
        service["build"] = {**build, "context": _context(scalar(build.get("context", "."), f"{where}: build.context"), directory)}
    for key in ("env_file", "label_file"):
        if service.get(key) is not None:
            service[key] = [_env_file(item, directory, where) for item in entries(service[key], f"{where}: {key}")]
    if service.get("volumes") is not None:
        service["volumes"] = [_volume(item, directory) for item in entries(service["volumes"], f"{where}: volumes")]
    return service


def _context(context: str, directory: Path) -> str:
    return context if re.match(r"(https?|git|ssh)://|git@|github\.com/", context) else _absolute(context, directory)


def _env_file(item: Any, directory: Path, where: str) -> dict[str, Any]:
    given = dict(item) if isinstance(item, dict) else {"path": item}
    if "path" not in given or set(given) - {"path", "required", "format"}:
        raise UsageError(f"{where}: env_file {item!r} is not allowed; a path, or path, required and format")
    required = boolean(given.get("required", True), f"{where}: env_file.required")
    return {**given, "path": _absolute(scalar(given["path"], where), directory), "required": required}


def _volume(item: Any, directory: Path) -> Any:
    if isinstance(item, str):
        source, colon, rest = item.partition(":")
        return f"{_absolute(source, directory)}:{rest}" if colon and _is_path(source) else item
    if isinstance(item, dict) and item.get("type") == "bind" and isinstance(item.get("source"), str):
        return {**item, "source": _absolute(item["source"], directory)}
    return item


def _is_path(source: str) -> bool:
    return source.startswith(("/", ".", "~"))


def _absolute(path: str, directory: Path) -> str:
    return os.path.normpath(directory / Path(path).expanduser())


def _project_name(document: Mapping[str, Any], file: Path, variables: Mapping[str, str]) -> str:
    """As Compose names it: COMPOSE_PROJECT_NAME, `name:`, else the directory, in lower case."""
    given = variables.get("COMPOSE_PROJECT_NAME") or document.get("name") or file.parent.name
    name = re.sub(r"[^a-z0-9_-]", "", scalar(given, f"{file}: name").lower()).lstrip("_-")
    return name or "project"
