"""Replace what a function of CPython does, for everybody who holds it, by whatever name.

`from time import monotonic` keeps a function object that no patch of the module's attribute reaches. The object points to
a record in C (its name, its code, how it is called); here the record's code pointer is exchanged. Layouts are those
of CPython 3.11 to 3.13 on 64-bit machines; the record's own name is compared first, so that a wrong guess changes nothing.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["Swapped", "swap"]

_FUNCTION_RECORD_AT, _DESCRIPTOR_RECORD_AT = 16, 40
_CODE_AT, _FLAGS_AT, _RECORD_SIZE = 8, 16, 32
_VARARGS, _NOARGS, _ONE, _CLASS, _FAST = 0x01, 0x04, 0x08, 0x10, 0x80
_KEYWORDS = 0x02

_object, _pointer, _size = ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t


class Swapped:
    """One function whose code was exchanged.

    Attributes:
        name: The function's.
    """

    def __init__(self, name: str, place: int, old: int, new: object, keep: object) -> None:
        self.name = name
        self._place, self._old, self._new, self._keep = place, old, new, keep

    def on(self) -> None:
        """Put the replacement in force."""
        ctypes.c_void_p.from_address(self._place).value = ctypes.cast(self._new, _pointer).value  # type: ignore[arg-type]  # a C function

    def off(self) -> None:
        """Put the original in force."""
        ctypes.c_void_p.from_address(self._place).value = self._old


def swap(
    function: Any, replacement: Callable[[Callable[..., Any], Any, tuple[Any, ...]], Any], *, alone: bool = False
) -> Swapped:
    """Exchange a builtin function's code.

    Args:
        function: A builtin function, or the method descriptor of a builtin type.
        alone: Only of this object: methods that are bound to other instances share its record, and keep theirs.
        replacement: Called as (original, self, arguments); `original(self, arguments)` does what the function did. C
            code cannot be handed an exception: one that is raised is printed, and the caller sees a SystemError.

    Returns:
        The exchange; `on()` puts it in force.

    Raises:
        ValueError: The interpreter is not laid out as expected.
    """
    descriptor = type(function).__name__ in ("classmethod_descriptor", "method_descriptor")
    record = _pointer.from_address(id(function) + (_DESCRIPTOR_RECORD_AT if descriptor else _FUNCTION_RECORD_AT)).value
    name = function.__name__
    if not record or ctypes.string_at(_pointer.from_address(record).value or 0) != name.encode():
        raise ValueError(f"this interpreter keeps {name} elsewhere")
    flags = ctypes.c_int.from_address(record + _FLAGS_AT).value & ~_CLASS
    old = _pointer.from_address(record + _CODE_AT).value or 0
    kind = _KINDS.get(flags)
    if kind is None:
        raise ValueError(f"{name} is called in a way that is not known here (flags {flags})")
    new, keep = kind(old, replacement)
    if not alone:
        return Swapped(name, record + _CODE_AT, old, new, keep)
    own = ctypes.create_string_buffer(ctypes.string_at(record, _RECORD_SIZE), _RECORD_SIZE)
    _pointer.from_buffer(own, _CODE_AT).value = ctypes.cast(new, _pointer).value  # type: ignore[arg-type]  # a C function
    return Swapped(name, id(function) + _FUNCTION_RECORD_AT, record, own, (new, keep))


def _no_arguments(old: int, replacement: Any) -> tuple[object, object]:
    """Clocks: they cannot fail, and are asked often."""
    form = ctypes.PYFUNCTYPE(_object, _object, _pointer)
    original = form(old)
    keep = lambda this, arguments: original(this, None)  # noqa: E731 - the C callback needs a plain function that lives on
    return form(lambda this, _: replacement(keep, this, ())), keep


def _one_argument(old: int, replacement: Any) -> tuple[object, object]:
    original = ctypes.PYFUNCTYPE(_object, _object, _object)(old)
    keep = lambda this, arguments: original(this, *arguments)  # noqa: E731 - as above
    called = lambda this, argument: _handed(replacement, keep, this, (argument,))  # noqa: E731 - as above
    return ctypes.PYFUNCTYPE(_pointer, _object, _object)(called), keep


def _many_arguments(old: int, replacement: Any) -> tuple[object, object]:
    original = ctypes.PYFUNCTYPE(_object, _object, _object)(old)
    keep = lambda this, arguments: original(this, arguments)  # noqa: E731 - as above
    called = lambda this, arguments: _handed(replacement, keep, this, arguments)  # noqa: E731 - as above
    return ctypes.PYFUNCTYPE(_pointer, _object, _object)(called), keep


def _fast_arguments(old: int, replacement: Any) -> tuple[object, object]:
    original = ctypes.PYFUNCTYPE(_object, _object, _pointer, _size, _pointer)(old)

    def keep(this: Any, arguments: tuple[Any, ...]) -> Any:
        array = (_object * max(1, len(arguments)))(*arguments)
        return original(this, ctypes.cast(array, _pointer), len(arguments), None)

    def called(this: Any, array: int | None, number: int, keywords: int | None) -> int:
        names = ctypes.cast(keywords, _object).value if keywords else ()
        total = number + len(names)
        values = ctypes.cast(array, ctypes.POINTER(_object)) if total and array else ()
        return _handed(replacement, keep, this, tuple(values[place] for place in range(total)))

    return ctypes.PYFUNCTYPE(_pointer, _object, _pointer, _size, _pointer)(called), keep


def _handed(replacement: Any, original: Any, this: Any, arguments: tuple[Any, ...]) -> int:
    """The result's address, for C code that owns it then; 0 where the replacement raised."""
    try:
        result = replacement(original, this, arguments)
    except BaseException:
        traceback.print_exc()
        return 0
    _keep_alive(result)
    return id(result)


_keep_alive = ctypes.pythonapi.Py_IncRef
_keep_alive.argtypes, _keep_alive.restype = [_object], None

_KINDS: dict[int, Callable[[int, Any], tuple[object, object]]] = {
    _NOARGS: _no_arguments,
    _ONE: _one_argument,
    _VARARGS: _many_arguments,
    _FAST | _KEYWORDS: _fast_arguments,
}
