"""Texts of compose projects: `${VARIABLES}`, env files, and numbers as Compose writes them. Pure.

Interpolation knows `$VAR ${VAR} ${VAR:-default} ${VAR-default} ${VAR:?error} ${VAR?error} ${VAR:+other} ${VAR+other} $$`,
nested in any default, error or other text. What is no variable after a `$` is refused, as Compose refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_coordchaos.errors import UsageError

__all__ = ["as_text", "interpolate", "interpolated", "read_env_text"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_LINE = re.compile(r"\s*(?:export\s+)?(?P<key>[A-Za-z_][\w.-]*)\s*(?:[=:]\s*(?P<value>.*))?$")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def interpolated(tree: Any, variables: Mapping[str, str], where: str) -> Any:
    """The tree with every text value (keys stay) interpolated.

    Raises:
        UsageError: Names the place, `where` and the path of keys below it.
    """
    if isinstance(tree, str):
        return interpolate(tree, variables, where)
    if isinstance(tree, dict):
        return {key: interpolated(value, variables, f"{where}.{key}") for key, value in tree.items()}
    if isinstance(tree, list):
        return [interpolated(value, variables, f"{where}[{index}]") for index, value in enumerate(tree)]
    return tree


def interpolate(text: str, variables: Mapping[str, str], where: str) -> str:
    """One text with its variables replaced; an unset one without a default becomes nothing, as in Compose."""
    out, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        replacement, at = _variable(text, dollar, variables, where)
        out.append(replacement)
    return "".join([*out, text[at:]])


def _variable(text: str, dollar: int, variables: Mapping[str, str], where: str) -> tuple[str, int]:
    """What stands for the variable that begins at `dollar`, and where the text goes on."""
    if text.startswith("$$", dollar):
        return "$", dollar + 2
    if text.startswith("${", dollar):
        end = _closing(text, dollar + 2, where)
        return _braced(text[dollar + 2 : end], variables, where), end + 1
    name = _NAME.match(text, dollar + 1)
    if name is None:
        raise UsageError(f"{where}: {text!r}: after '$' comes a variable's name or '{{'; write '$$' for a dollar sign")
    return variables.get(name[0], ""), name.end()


def _closing(text: str, start: int, where: str) -> int:
    depth, at = 1, start
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise UsageError(f"{where}: {text!r}: a '${{' is never closed by '}}'")


def _braced(body: str, variables: Mapping[str, str], where: str) -> str:
    name = _NAME.match(body)
    operator = _OPERATOR.match(body, name.end()) if name else None
    if name is None or (operator is None and name.end() != len(body)):
        allowed = "${VAR} ${VAR:-default} ${VAR-default} ${VAR:?error} ${VAR?error} ${VAR:+other} ${VAR+other}"
        raise UsageError(f"{where}: '${{{body}}}' is not a variable; allowed: {allowed}")
    value = variables.get(name[0])
    if operator is None:
        return value or ""
    rest = body[operator.end() :]
    given = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "-":
            return (value or "") if given else interpolate(rest, variables, where)
        case "+":
            return interpolate(rest, variables, where) if given else ""
    if not given:
        why = interpolate(rest, variables, where) or "it is required"
        raise UsageError(f"{where}: variable {name[0]} is not set: {why}")
    return value or ""


def read_env_text(text: str, variables: Mapping[str, str], where: str, *, raw: bool = False) -> dict[str, str | None]:
    """The variables of an env file; None: named without a value, to be taken from the environment.

    Unquoted values lose a trailing ` # comment`; `"…"` knows escapes and may go over lines; both are interpolated with
    `variables` and what the file has set before. `'…'` is taken as it is.

    Args:
        raw: Every value is the rest of its line, untouched (`format: raw`).

    Raises:
        UsageError: A line is none; names file and line.
    """
    found: dict[str, str | None] = {}
    lines = text.removeprefix("\ufeff").splitlines()
    at = 0
    while at < len(lines):
        line, place = lines[at], f"{where}, line {at + 1}"
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise UsageError(f"{place}: {line!r} is no line of an env file; allowed: NAME=value, NAME, # comment")
        value = match["value"]
        if value is None or raw:
            found[match["key"]] = value
            continue
        known = {**{key: text for key, text in found.items() if text is not None}, **variables}
        if value[:1] in ("'", '"'):
            while _end_of_quoted(value) is None:
                if at == len(lines):
                    raise UsageError(f"{place}: the quote of {match['key']} is never closed")
                value, at = f"{value}\n{lines[at]}", at + 1
            value = _unquoted(value, known, place)
        else:
            value = interpolate(_COMMENT.sub("", value).rstrip(), known, place)
        found[match["key"]] = value
    return found


def _end_of_quoted(value: str) -> int | None:
    quote, at = value[0], 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 1
        elif value[at] == quote:
            return at
        at += 1
    return None


def _unquoted(value: str, known: Mapping[str, str], place: str) -> str:
    inner = value[1 : _end_of_quoted(value)]
    if value[0] == "'":
        return inner
    return interpolate(re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), inner), known, place)


def as_text(value: Any) -> str:
    """A scalar as Compose writes it into an environment: true, 1e+06, 3.14."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value!r}".partition("e")
        if not exponent and (abs(value) >= 1e6 or (value and abs(value) < 1e-4)):
            digits = f"{value:.17e}".partition("e")[2]
            mantissa, exponent = repr(value / 10 ** int(digits)), digits
        mantissa = mantissa.removesuffix(".0")
        return f"{mantissa}e{int(exponent):+03d}" if exponent else mantissa
    return str(value)
