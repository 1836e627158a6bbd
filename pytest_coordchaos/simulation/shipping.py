"""Sending systems, workloads and invariants to a worker process: pickle, and functions that pickle cannot name.

A function of a module goes by name, as pickle does it. A function made inside another, or a lambda, goes as its code with
the values it closes over; its globals are those of its module in the worker. Modules are found on the sender's path,
or by file, so that test modules are found too.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import marshal
import pickle
import sys
from collections.abc import Mapping
from types import CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from pytest_coordchaos.errors import UsageError

__all__ = ["dumps", "loads"]


def dumps(thing: object) -> bytes:
    """As bytes for a worker of the same Python.

    Raises:
        UsageError: It holds something that cannot be sent: a lock, a socket, a running generator.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UsageError(f"a simulation runs in another process, and this cannot be sent there: {error}") from None
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """What `dumps` was given."""
    return pickle.loads(data)  # from our own parent or child process


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, ModuleType):
            return _module, (thing.__name__, _file_of(thing.__name__))
        if isinstance(thing, MappingProxyType):
            return _read_only, (dict(thing),)
        if not isinstance(thing, FunctionType | type) or thing.__module__ == "builtins":
            return NotImplemented
        module = sys.modules.get(thing.__module__)
        if module is not None and _named(module, thing.__qualname__) is thing:
            own = thing.__module__.partition(".")[0] in ("pytest_coordchaos", "reference_systems")
            return NotImplemented if own else (_by_name, (thing.__module__, _file_of(thing.__module__), thing.__qualname__))
        return _by_code(thing) if isinstance(thing, FunctionType) else NotImplemented


def _by_code(function: FunctionType) -> Any:
    cells = tuple(_content(cell) for cell in function.__closure__ or ())
    made = (
        marshal.dumps(function.__code__),
        function.__module__,
        _file_of(function.__module__),
        function.__qualname__,
        len(cells),
    )
    state = {"cells": cells, "defaults": function.__defaults__, "kwdefaults": function.__kwdefaults__}
    return _function, made, state, None, None, _fill


def _content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _function(code: bytes, module: str, file: str | None, qualname: str, cells: int) -> FunctionType:
    made: CodeType = marshal.loads(code)
    closure = tuple(CellType() for _ in range(cells))
    function = FunctionType(made, _module(module, file).__dict__, made.co_name, None, closure)
    function.__qualname__ = qualname
    return function


def _fill(function: FunctionType, state: Mapping[str, Any]) -> None:
    """After the function exists, so that it may close over itself."""
    for cell, content in zip(function.__closure__ or (), state["cells"], strict=True):
        if content:
            cell.cell_contents = content[0]
    function.__defaults__, function.__kwdefaults__ = state["defaults"], state["kwdefaults"]


def _by_name(module: str, file: str | None, qualname: str) -> Any:
    found = _named(_module(module, file), qualname)
    if found is None:
        raise UsageError(f"a simulation needs {qualname} of module {module}, which has none in its worker process")
    return found


def _read_only(mapping: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(mapping)


def _named(module: ModuleType, qualname: str) -> Any:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _module(name: str, file: str | None) -> ModuleType:
    """The module, imported by name, or from its file where its name leads nowhere (pytest's import modes)."""
    if name in sys.modules and name != "__main__":
        return sys.modules[name]
    try:
        if name != "__main__":
            found = importlib.import_module(name)
            if file is None or getattr(found, "__file__", None) == file:
                return found
    except ImportError:
        if file is None:
            raise
    alias = "coordchaos_main" if name == "__main__" else name
    if alias in sys.modules and getattr(sys.modules[alias], "__file__", None) == file:
        return sys.modules[alias]
    if file is None:
        raise UsageError(f"a simulation runs in another process, which finds no module {name}")
    spec = importlib.util.spec_from_file_location(alias, file)
    assert spec is not None, "a Python file has a loader"
    assert spec.loader is not None, "as above"
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    spec.loader.exec_module(module)
    return module
