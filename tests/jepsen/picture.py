"""The picture of a run: acknowledged writes per second, with the faults as shaded bands (SVG by hand)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from tests.jepsen.history import Band, Event

WIDTH, LEFT, RIGHT = 1400, 60, 20
TOP, CHART, ROW = 40, 240, 16
LETTER = 6
COLOURS = ("#d62728", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


def picture(title: str, seconds: float, times: Sequence[float], bands: Sequence[Band], marks: Sequence[Event]) -> str:
    """Draw acknowledgements at `times`, faults, and events to mark; all in seconds since the start."""
    scale = (WIDTH - LEFT - RIGHT) / max(seconds, 1.0)
    rows = _rows(bands, scale)
    height = TOP + CHART + 30 + ROW * (max(rows, default=-1) + 1) + 10
    body = [
        _text(LEFT, 20, title, size=15),
        *_shades(bands, rows, scale),
        *_curve(seconds, times, scale),
        *_marks(marks, scale),
        *_axis(seconds, scale),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _rows(bands: Sequence[Band], scale: float) -> list[int]:
    """Give each fault a line for its name, below the chart, where no other's is."""
    ends: list[float] = []
    rows = []
    for band in bands:
        row = next((row for row, end in enumerate(ends) if end <= band.begin), len(ends))
        # A name takes room to the right of where its fault begins.
        until = max(band.end, band.begin + len(band.text) * LETTER / scale) + 1
        ends[row:] = [until, *ends[row + 1 :]]
        rows.append(row)
    return rows


def _shades(bands: Sequence[Band], rows: Sequence[int], scale: float) -> Iterator[str]:
    kinds = list(dict.fromkeys(_kind(band) for band in bands))
    for band, row in zip(bands, rows, strict=True):
        colour = COLOURS[kinds.index(_kind(band)) % len(COLOURS)]
        x, width = LEFT + band.begin * scale, max((band.end - band.begin) * scale, 1.0)
        y = TOP + CHART + 30 + row * ROW
        yield _rect(x, TOP, width, CHART, colour, 0.15)
        yield _rect(x, y, width, ROW - 3, colour, 0.5)
        tip = f"{band.begin:.1f}-{band.end:.1f} s: {band.text}"
        yield f"<g><title>{escape(tip)}</title>{_text(x + 2, y + 10, band.text, size=10)}</g>"


def _kind(band: Band) -> str:
    return band.text.partition(" ")[0]


def _curve(seconds: float, times: Sequence[float], scale: float) -> Iterator[str]:
    counts = Counter(int(time) for time in times)
    most = max(counts.values(), default=1)
    points = []
    for second in range(int(seconds) + 1):
        y = TOP + CHART * (1 - counts[second] / most)
        points += [f"{LEFT + second * scale:.1f},{y:.1f}", f"{LEFT + (second + 1) * scale:.1f},{y:.1f}"]
    yield f'<polyline points="{" ".join(points)}" fill="none" stroke="#1f77b4" stroke-width="1.2"/>'
    for part in (0, 0.5, 1):
        y = TOP + CHART * (1 - part)
        yield _line(LEFT, y, WIDTH - RIGHT, y, "#dddddd")
        yield _text(6, y + 4, f"{most * part:.0f}/s")


def _marks(marks: Sequence[Event], scale: float) -> Iterator[str]:
    for mark in marks:
        x = LEFT + mark.at * scale
        colour = "#cc0000" if mark.kind == "WRONG" else "#2ca02c"
        yield _line(x, TOP, x, TOP + CHART, colour)
        yield f"<g><title>{escape(str(mark).strip())}</title>{_text(x + 2, TOP + 10, mark.text[:24], size=9)}</g>"


def _axis(seconds: float, scale: float) -> Iterator[str]:
    step = next((step for step in (10, 30, 60, 300, 600, 3600) if seconds / step <= 20), 7200)
    for second in range(0, int(seconds) + 1, step):
        x = LEFT + second * scale
        yield _line(x, TOP + CHART, x, TOP + CHART + 4, "#000000")
        yield _text(x - 8, TOP + CHART + 16, f"{second} s")


def _rect(x: float, y: float, width: float, height: float, colour: str, opacity: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )


def _line(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(text)}</text>'
