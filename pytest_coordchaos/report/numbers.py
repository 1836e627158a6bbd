"""Numbers as people read them. Pure."""

from __future__ import annotations

__all__ = ["pair", "short"]


def short(value: float | None, digits: int = 3) -> str:
    """A number with that many significant digits, never in powers of ten; "-" for an unknown one."""
    if value is None:
        return "-"
    rounded = float(f"{value:.{digits}g}")
    if abs(value) >= 10**digits or rounded == int(rounded):
        return f"{value:.0f}"
    return f"{rounded:.{digits + 3}f}".rstrip("0").rstrip(".")


def pair(measured: float, limit: float) -> tuple[str, str]:
    """Both numbers with just as many digits as it takes to tell them apart (12.04 > 12, never 12 > 12)."""
    for digits in range(3, 16):
        texts = short(measured, digits), short(limit, digits)
        if texts[0] != texts[1]:
            return texts
    return (short(measured), short(limit)) if measured == limit else (repr(measured), repr(limit))
