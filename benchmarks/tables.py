"""A run's figures as Markdown tables, for the terminal and for docs/performance.md.

python benchmarks/tables.py build/bench/FILE.json      # writes the document's tables anew
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import Found

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by benchmarks/tables.py -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of one scenario; ``digits`` after the point."""

    label: str
    scenario: str
    figure: str
    digits: int = 0

    def cell(self, found: Found, gateway: str) -> str:
        """Return its median, or a dash."""
        medians = found["scenarios"].get(self.scenario, {"gateways": {}})["gateways"].get(gateway, {"median": {}})
        value = medians["median"].get(self.figure)
        return "-" if value is None else f"{value:,.{self.digits}f}"


#: What is told of every gateway.
_TABLES = {
    "Whole answers": (
        Column("requests/s", "throughput", "requests_per_s"),
        Column("CPU µs/request", "throughput", "cpu_us_per_request"),
        Column("added ms p50 at 1", "latency-1", "added_p50_ms", 2),
        Column("p99", "latency-1", "added_p99_ms", 2),
        Column("at 10", "latency-10", "added_p50_ms", 2),
        Column("p99", "latency-10", "added_p99_ms", 2),
        Column("150 kB: requests/s", "bodies", "requests_per_s"),
        Column("CPU µs/request", "bodies", "cpu_us_per_request"),
    ),
    "Streams, 100 at once": (
        Column("10 ms: chunks/s", "chunks-10ms", "chunks_per_s"),
        Column("CPU µs/chunk", "chunks-10ms", "cpu_us_per_chunk", 1),
        Column("one way ms p50", "chunks-10ms", "one_way_p50_ms", 2),
        Column("p99", "chunks-10ms", "one_way_p99_ms", 2),
        Column("50 ms: CPU µs/chunk", "chunks-50ms", "cpu_us_per_chunk", 1),
        Column("one way ms p50", "chunks-50ms", "one_way_p50_ms", 2),
        Column("p99", "chunks-50ms", "one_way_p99_ms", 2),
    ),
    "Slow streams, and the process itself": (
        Column("1,000: KiB/stream", "slow-1000", "kib_per_stream", 1),
        Column("TTFT ms p50", "slow-1000", "ttft_p50_ms", 1),
        Column("p99", "slow-1000", "ttft_p99_ms", 1),
        Column("5,000: KiB/stream", "slow-5000", "kib_per_stream", 1),
        Column("TTFT ms p50", "slow-5000", "ttft_p50_ms", 1),
        Column("p99", "slow-5000", "ttft_p99_ms", 1),
        Column("cold start s", "cold-start", "cold_start_s", 2),
        Column("idle MiB", "cold-start", "idle_pss_mib", 1),
    ),
}


def tables(found: Found) -> str:
    """Return all of it."""
    return "\n".join([*_heading(found), *_bars(found), *_by_gateway(found), *_translations(found), *_problems(found)])


def _heading(found: Found) -> Iterator[str]:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield f"- **Run**: `{found['command']}`, {found['began']}, {found['seconds'] // 60} minutes"
    system = f"{machine['system']}, Linux {machine['kernel']}, load before {machine['busy_before']:.1f}"
    yield f"- **Machine**: {machine['cpu']}, {machine['cores']} cores, {system}"
    yield f"- **Versions**: {versions}, Python {machine['python']}"
    yield f"- **Figures**: medians of {found['rounds']} rounds"


def _bars(found: Found) -> Iterator[str]:
    if found["bars"]:
        rows = [
            [bar["what"], f"{bar['value']:,.2f} {bar['unit']}", _limit(bar), "met" if bar["met"] else "not met"]
            for bar in found["bars"]
        ]
        yield from _table("Bars", ["bar", "measured", "wanted", ""], rows)


def _limit(bar: dict[str, object]) -> str:
    return f"{'at least' if bar['least'] else 'at most'} {bar['bar']:g} {bar['unit']}"


def _by_gateway(found: Found) -> Iterator[str]:
    names = list(dict.fromkeys(("direct", *found["versions"])))
    for heading, columns in _TABLES.items():
        rows = [[name, *(column.cell(found, name) for column in columns)] for name in names]
        yield from _table(heading, ["gateway", *(column.label for column in columns)], rows)


def _translations(found: Found) -> Iterator[str]:
    pairs = [name.partition(":")[2] for name in found["scenarios"] if ":" in name]
    names = [(pair, f"whole:{pair}", f"chunks:{pair}") for pair in dict.fromkeys(pairs)]
    names.append(("openai, upstream behind TLS", "tls", "chunks-tls"))
    rows = [[_pair(name), *(column.cell(found, "lmgw") for column in _of(*rest))] for name, *rest in names]
    labels = [column.label for column in _of("", "")]
    yield from _table("Translations, ours", ["caller → upstream", *labels], rows)


def _pair(name: str) -> str:
    client, separator, upstream = name.partition("-")
    return f"{client} → {upstream}" if separator and client != upstream else client


def _of(whole: str, chunks: str) -> tuple[Column, ...]:
    return (
        Column("requests/s", whole, "requests_per_s"),
        Column("CPU µs/request", whole, "cpu_us_per_request"),
        Column("CPU µs/chunk", chunks, "cpu_us_per_chunk", 1),
        Column("one way ms p50", chunks, "one_way_p50_ms", 2),
        Column("p99", chunks, "one_way_p99_ms", 2),
    )


def _problems(found: Found) -> Iterator[str]:
    if found["problems"]:
        yield ""
        yield from (f"- {problem}" for problem in dict.fromkeys(found["problems"]))


def _table(heading: str, labels: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return a table without the rows and columns that hold no figure; nothing where no row is left."""
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    if not rows:
        return
    told = [at for at in range(len(labels)) if {row[at] for row in rows} != {"-"}]
    lines = [[row[at] for at in told] for row in (labels, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield from ("", f"**{heading}**", "")
    yield _row(lines[0], widths)
    yield "|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|"
    yield from (_row(line, widths) for line in lines[1:])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"


def rewrite(document: str, found: Found) -> str:
    """Return a document with these figures between its markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{tables(found)}\n{END}{after}"


def main() -> None:
    """Write the document's tables."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    found = json.loads(Path(sys.argv[1]).read_text())
    DOCUMENT.write_text(rewrite(DOCUMENT.read_text(), found))


if __name__ == "__main__":
    main()
