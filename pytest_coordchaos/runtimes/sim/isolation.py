"""Module globals of a program, one copy for each life of each node.

Nodes of one process would share them, and they would survive a kill. So the program's modules are imported anew for each
life; what it imports later, inside its functions, comes from its own copies too. Modules of the standard library and
of installed packages are shared: theirs is state of the interpreter, not of the program.
"""

from __future__ import annotations

import builtins
import importlib
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_coordchaos.runtimes.sim import active

__all__ = ["install", "own_copy", "uninstall"]

_real_import = builtins.__import__
_OURS = ("pytest_coordchaos", "reference_systems", "__main__", "conftest")
_INSTALLED = [
    Path(place).resolve()
    for place in (*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages())
    if place
]


def install() -> None:
    """Let imports inside functions find a node's own modules. Idempotent."""
    builtins.__import__ = _import


def uninstall() -> None:
    """Put the real import back. Idempotent."""
    builtins.__import__ = _real_import


def own_copy(main: Callable[..., Any], node: str) -> tuple[Callable[..., Any], dict[str, ModuleType], str]:
    """A main whose module, and what that imports of its program, were imported anew.

    Returns:
        The main, the modules, and a sentence where globals stay shared ("" where they do not).
    """
    module, path = sys.modules.get(main.__module__), getattr(main, "__qualname__", "?").split(".")
    if module is None or getattr(module, "__file__", None) is None or "<locals>" in path or module.__spec__ is None:
        return main, {}, f"globals of module {main.__module__} are shared by nodes: {main!r} is no function of a module"
    names = _program(module)
    shared = {name: sys.modules.pop(name) for name in names}
    try:
        found: Any = importlib.import_module(module.__name__)
        own = {name: one for name, one in sys.modules.items() if name in names or _belongs(one, _root(module))}
    except ImportError as error:
        return main, {}, f"globals of module {main.__module__} are shared by nodes: it cannot be imported again ({error})"
    finally:
        for name in [name for name, one in sys.modules.items() if name not in shared and _belongs(one, _root(module))]:
            del sys.modules[name]
        sys.modules.update(shared)
    for part in path:
        found = getattr(found, part)
    return found, own, ""


def _program(module: ModuleType) -> list[str]:
    """Names of the modules that are loaded and belong to the same program."""
    root = _root(module)
    return [name for name, one in list(sys.modules.items()) if _belongs(one, root)]


def _root(module: ModuleType) -> Path:
    """The directory of the module's top package; of a module without one, its own file."""
    file = Path(str(module.__file__)).resolve()
    if "." not in module.__name__:
        return file.parent if hasattr(module, "__path__") else file
    return file.parents[module.__name__.count(".") - (0 if hasattr(module, "__path__") else 1)]


def _belongs(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not file or module.__name__.partition(".")[0] in _OURS:
        return False
    place = Path(file)
    return place.is_relative_to(root) and not any(place.is_relative_to(one) for one in _INSTALLED if not root.is_relative_to(one))


def _import(name: str, *arguments: Any, **options: Any) -> ModuleType:
    loop = active.loop
    if loop is None or loop.node is None or not loop.node.modules:
        return _real_import(name, *arguments, **options)
    own = loop.node.modules
    shared = {one: sys.modules.get(one) for one in own}
    sys.modules.update(own)
    try:
        return _real_import(name, *arguments, **options)
    finally:
        for one, module in shared.items():
            if module is None:
                sys.modules.pop(one, None)
            else:
                sys.modules[one] = module
