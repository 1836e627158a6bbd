"""The words of the channel between guard and watchdog: JSON lines, one object each. Types only.

Request `{"id", "do", …}` → reply `{"id", "ok": …}` or `{"id", "error": text}`. Events:
`{"event": "ready"}` once, `{"event": "exited", "scope", "name", "pid", "status", "cpu_s"}`.

| do      | arguments                     | ok                                              |
| ------- | ----------------------------- | ----------------------------------------------- |
| spawn   | an Order                      | pid, after the exec                             |
| kill    | scope, name                   | null, when no process of it is left             |
| pause   | scope, name                   | null, when every thread of it is stopped        |
| signal  | scope, name, number           | null; sent to every process of it               |
| cpu     | scope, name                   | seconds of the living incarnation               |
| reserve | scope, count, host            | [[host, port], …]                               |
| claim   | scope, count                  | [host, …]                                       |
| end     | scope                         | null; all killed, all given back, scope closed  |
| hosts   |                               | null, or why private hosts files are refused    |
| stat    |                               | {"processes": …, "pids": {…}}                   |
| close   |                               | null, when nothing is left; the watchdog exits  |
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Order"]


class Order(TypedDict):
    """What to start.

    Keys:
        scope, name: Whose and which; one living process tree per pair.
        argv, env, cwd: As for exec; `env` is complete.
        log: File to which standard output and error are appended.
        hosts: Private hosts file, or "" for none.
        lend: Reserved addresses it will listen on; None: not known, then all of the scope are opened.
    """

    scope: str
    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    log: str
    hosts: str
    lend: list[tuple[str, int]] | None
