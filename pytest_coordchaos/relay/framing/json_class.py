"""The class of one JSON line: the string "type" of its object, or else of its "body"; `DEFAULT_CLASS` for anything else.

Apart, because it loads msgspec, which a relay without such links need not wait for, and one in a container does not have.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_coordchaos.relay.framing.json_class_plain import DEFAULT_CLASS

__all__ = ["DEFAULT_CLASS", "read_class"]


def _reader() -> Callable[[bytes], str]:
    try:
        from pytest_coordchaos.relay.framing import json_class_fast
    except ImportError:
        from pytest_coordchaos.relay.framing import json_class_plain

        return json_class_plain.read_class
    return json_class_fast.read_class


read_class = _reader()
