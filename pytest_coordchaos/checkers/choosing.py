"""Which model a history is checked under: named by an option, or inferred from its operations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_coordchaos.checkers.locks_and_transactions import multi_register, mutex
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import REGISTER_FS, cas_register, key_value, register
from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.model import History

__all__ = ["MODELS", "infer_model", "model_of", "of_objects"]

MODELS: Mapping[str, Callable[..., Model]] = {
    "register": register,
    "cas-register": cas_register,
    "multi-register": multi_register,
    "mutex": mutex,
    "key-value": key_value,
}
"""Model name -> factory."""

_KNOWN_FS = REGISTER_FS | {"acquire", "release", "txn"}
_ONE_REGISTER_FS = REGISTER_FS - {"delete", "append"}


def of_objects(history: History, options: Mapping[str, object]) -> History:
    """The history without questions to nodes: operations without a key that no built-in model knows, where others are."""
    if isinstance(options.get("model"), Model):
        return history  # who made a model says what it knows
    own = tuple(op for op in history if op.f in _KNOWN_FS or op.key is not None)
    return History(own) if own else history


def model_of(history: History, options: Mapping[str, object]) -> Model | None:
    """The model the options name, or the one that fits the operations; None: none fits.

    Raises:
        UsageError: The options name no model, or give it what it does not take.
    """
    wanted = options.get("model")
    if isinstance(wanted, Model):
        return wanted
    name = infer_model(history) if wanted is None else wanted
    if name is None:
        return None
    if not isinstance(name, str) or name not in MODELS:
        raise UsageError(f"linearizable: model={name!r} is not known; allowed: {', '.join(MODELS)}, or a Model")
    return MODELS[name](**_arguments(name, history, options))


def _arguments(name: str, history: History, options: Mapping[str, object]) -> dict[str, Any]:
    given = {key: options[key] for key in ("initial", "append", "nil_reads_unknown") if key in options}
    if name == "mutex" and given:
        raise UsageError(f"linearizable: the model mutex takes no {', '.join(given)}")
    if name != "key-value" and "append" in given:
        raise UsageError(f"linearizable: append={given['append']!r} belongs to the model key-value alone, not to {name}")
    if name == "key-value" and "append" not in given and _appends_to_lists(history):
        given["append"] = "list"
    if name in ("register", "cas-register") and any(op.key is not None for op in history):
        given["keyed"] = True
    return given


def _appends_to_lists(history: History) -> bool:
    appends = any(op.f == "append" for op in history)
    return appends and any(isinstance(seen, list | tuple) for op in history for seen in (op.result, op.value) if op.f != "cas")


def infer_model(history: History) -> str | None:
    """The name of the model whose operations these are; None where there is none."""
    asked = {op.f for op in history}
    keyed = any(op.key is not None for op in history)
    if asked and asked <= {"acquire", "release"}:
        return "mutex"
    if asked == {"txn"}:
        return "multi-register"
    if asked and asked <= _ONE_REGISTER_FS and not keyed:
        return "cas-register"
    return "key-value" if asked and asked <= REGISTER_FS and keyed else None
