"""The picture: how much of each goal's allowance is used; cost and delay of a packet as load grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benches.peers.goals import Goal, Results, goals
from benches.peers.rows import CURVE
from benches.peers.stats import Spread
from benches.peers.work import Run, Security, Sound, Work

WIDTH = 1_000
BAR_LEFT, BAR_WIDTH, BAR_STEP = 400, 400, 22
CHART_HEIGHT, CHART_TOP_ROOM = 300, 60
COLOURS = {"trunkline": "#1666b0", "rtpengine": "#c4552d", "forwarder": "#777777", "janus": "#7a4fa3"}
VERDICTS = {"aim": "#2e7d4f", "must": "#8fb339", "missed": "#c4382d"}
MOST_USED = 1.5
"""A bar that is longer is cut off; its figure stands beside it."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One relay's figures, from the left to the right."""

    relay: str
    points: Sequence[Point]


def picture(results: Results) -> str:
    """Draw everything that was measured."""
    known = [goal for goal in goals(results) if goal.is_known]
    bars, height = _bars(known)
    half = WIDTH // 2
    charts = [
        _chart(0, height, half, "CPU us a packet, RTP <-> RTP", _lines(results, lambda run: run.cpu_us)),
        _chart(half, height, half, "added latency p99, ms, RTP <-> RTP", _lines(results, lambda run: run.p99_us / 1e3)),
    ]
    total = height + CHART_HEIGHT + CHART_TOP_ROOM + 60
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" '
            'font-size="12" fill="#222">',
            f'<rect width="{WIDTH}" height="{total}" fill="white"/>',
            *bars,
            *(line for chart in charts for line in chart),
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#cccccc", more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


# --- goals ---------------------------------------------------------------------------------------------------------


def _bars(known: Sequence[Goal]) -> tuple[list[str], int]:
    """Bars of the goals; returns the drawing and its height."""
    unit = BAR_WIDTH / MOST_USED
    top = 76
    bottom = top + BAR_STEP * len(known)
    out = [
        _text(20, 30, "Trunkline: share of each goal's allowance that is used", size=16, weight="bold"),
        _text(
            20, 50, "1 just reaches the goal, shorter is better; the tick is what is aimed for, the whisker the range."
        ),
    ]
    for share in (0.0, 0.5, 1.0, 1.5):
        x = BAR_LEFT + share * unit
        out.append(_line(x, top - 6, x, bottom, "#c4382d" if share == 1.0 else "#dddddd"))
        out.append(_text(x, top - 9, f"{share:g}", "middle"))
    for number, goal in enumerate(known):
        out += _bar(goal, top + BAR_STEP * number, unit)
    return out, bottom + 20


def _bar(goal: Goal, y: float, unit: float) -> list[str]:
    def at(value: float) -> float:
        used = goal.must / value if goal.is_more else value / goal.must
        return BAR_LEFT + unit * min(max(used, 0.0), MOST_USED)

    middle = y + BAR_STEP / 2
    low, high = at(goal.spread.low), at(goal.spread.high)
    measured = f"{'at least ' if goal.is_bound else ''}{goal.spread.median:.2f} {goal.unit}"
    wanted = f"{'at least' if goal.is_more else 'at most'} {goal.must:g}"
    width = max(1.0, at(goal.spread.median) - BAR_LEFT)
    colour = VERDICTS[goal.verdict]
    return [
        _text(BAR_LEFT - 8, middle + 4, goal.name, "end", 11),
        f'<rect x="{BAR_LEFT}" y="{y + 4:.1f}" width="{width:.1f}" height="{BAR_STEP - 8}" fill="{colour}"/>',
        _line(low, middle, high, middle, "#222222"),
        _line(at(goal.aim), y + 2, at(goal.aim), y + BAR_STEP - 2, "#222222", 'stroke-width="2"'),
        _text(BAR_LEFT + BAR_WIDTH + 10, middle + 4, f"{measured} ({wanted})", size=11),
    ]


# --- charts --------------------------------------------------------------------------------------------------------


def _lines(results: Results, figure: Callable[[Run], float]) -> list[Line]:
    found = []
    for relay in ("rtpengine", "forwarder", "trunkline"):
        spreads = [
            (calls, Spread.of(results.figures(Work(Security.NONE, Sound.PCMU, calls), relay, figure)).median)
            for calls in CURVE
        ]
        points = [(float(calls), value) for calls, value in spreads if not math.isnan(value)]
        if points:
            found.append(Line(relay, points))
    return found


def _chart(left: float, top: float, width: float, title: str, lines: Sequence[Line]) -> list[str]:
    """Lines over the number of calls, whose axis is logarithmic."""
    if not lines:
        return []
    x0, x1 = left + 55, left + width - 110
    y0, y1 = top + CHART_TOP_ROOM + CHART_HEIGHT, top + CHART_TOP_ROOM
    most = nice_limit(max(value for line in lines for _, value in line.points))
    first, last = math.log(CURVE[0]), math.log(CURVE[-1])

    def at(point: Point) -> tuple[float, float]:
        calls, value = point
        return x0 + (x1 - x0) * (math.log(calls) - first) / (last - first), y0 - (y0 - y1) * value / most

    out = [_text(left + 20, top + 35, title, size=14, weight="bold"), _line(x0, y0, x1, y0, "#222222")]
    for part in range(6):
        value = most * part / 5
        _, y = at((CURVE[0], value))
        out += [_line(x0, y, x1, y, "#dddddd"), _text(x0 - 6, y + 4, f"{value:g}", "end")]
    for calls in CURVE:
        x, _ = at((calls, 0))
        out += [_line(x, y0, x, y0 + 4, "#222222"), _text(x, y0 + 18, f"{calls:,}", "middle", 11)]
    out.append(_text((x0 + x1) / 2, y0 + 36, "calls", "middle"))
    for number, line in enumerate(lines):
        places = [at(point) for point in line.points]
        colour = COLOURS[line.relay]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = y1 + 14 + 18 * number
        out += [f'<rect x="{x1 + 12:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{colour}"/>']
        out.append(_text(x1 + 27, y, line.relay))
    return out


def nice_limit(value: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)
