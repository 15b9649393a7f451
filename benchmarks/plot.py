"""The throughput as a picture: bars that read on light and on dark paper, with the rounds as dots."""

from __future__ import annotations

from typing import Any

NAMES = {
    "bare loop": "Bare loop, two processes",
    "celery chain": "Celery chain, nothing durable",
    "distributed": "Cartbridge, distributed",
    "embedded": "Cartbridge, embedded",
    "dbos": "DBOS",
}
_WIDTH, _ROW, _LEFT, _RIGHT = 760, 34, 230, 70
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.bar{fill:#8c959f}.ours{fill:#1f6feb}"
    ".dot{fill:#24292f;fill-opacity:.55}"
    "@media(prefers-color-scheme:dark){text,.dot{fill:#e6edf3}.bar{fill:#6e7681}.ours{fill:#4493f8}}"
)


def plot(throughput: dict[str, Any]) -> str:
    """An SVG of the medians, longest first; the bare loop, which would dwarf the others, is only named."""
    rates = throughput["per_second"]
    shown = sorted((name for name in NAMES if name != "bare loop"), key=lambda name: -rates[name])
    scale = (_WIDTH - _LEFT - _RIGHT) / max(max(throughput["rounds"][name]) for name in shown)
    height = 52 + _ROW * len(shown)
    rows = []
    for number, name in enumerate(shown):
        top = 34 + _ROW * number
        kind = "bar ours" if name in {"distributed", "embedded"} else "bar"
        rows.append(f'<text x="{_LEFT - 10}" y="{top + 16}" text-anchor="end">{NAMES[name]}</text>')
        rows.append(
            f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{rates[name] * scale:.1f}" height="22" rx="3"/>'
        )
        rows += [
            f'<circle class="dot" cx="{_LEFT + rate * scale:.1f}" cy="{top + 11}" r="3"/>'
            for rate in throughput["rounds"][name]
        ]
        end = max(rates[name], *throughput["rounds"][name]) * scale + _LEFT
        rows.append(f'<text x="{end + 10:.1f}" y="{top + 16}">{rates[name]:.0f}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>Workflows of three calls a second on two cores</title><style>{_STYLE}</style>"
        f'<text x="{_LEFT}" y="20">Workflows of three calls a second, two cores; dots are rounds '
        f"(bare loop: {rates['bare loop']:.0f})</text>{''.join(rows)}</svg>\n"
    )
