"""Format counts, sizes, times and spans for messages and tables."""

from __future__ import annotations

from datetime import datetime, timedelta


def show_count(value: int | None) -> str:
    """1234567 as 1,234,567; a dash for the unknown."""
    return "–" if value is None else f"{value:,}"


def show_bytes(value: int | None) -> str:
    """A size in the largest unit that keeps three digits."""
    if value is None:
        return "–"
    size = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_time(value: datetime | None) -> str:
    """To the second, in UTC."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%SZ}"


def show_seconds(value: float | None) -> str:
    """0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if value is None:
        return "–"
    span = timedelta(seconds=value).total_seconds()
    for limit, unit, name in ((10, 1.0, "s"), (120, 1.0, "s"), (7200, 60.0, "min"), (172800, 3600.0, "h")):
        if span < limit:
            return f"{span / unit:.1f} {name}" if limit == 10 else f"{span / unit:.0f} {name}"
    return f"{span / 86400:.0f} d"


def show_span(value: float | None) -> str:
    """At most two units: 8 s, 14 min 32 s, 6 d 4 h."""
    if value is None:
        return "–"
    seconds = round(value)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for index, (name, size) in enumerate(units):
        if seconds >= size:
            parts = [f"{seconds // size} {name}"]
            rest = seconds % size
            if index + 1 < len(units) and rest // units[index + 1][1]:
                parts.append(f"{rest // units[index + 1][1]} {units[index + 1][0]}")
            return " ".join(parts)
    return "0 s"
