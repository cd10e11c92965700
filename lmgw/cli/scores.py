"""How well a classifier does on labelled examples: the confusion table, accuracy, latency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lmgw.cli.cases import Case
from lmgw.core.classify import THINK, Label

#: What stands in the table where no label came.
NONE = "-"
#: Lines of examples that went wrong, characters of each, and reasons of failed calls that are shown.
_SHOWN, _WIDTH, _FAULTS_SHOWN = 20, 70, 5


class Result(NamedTuple):
    """One case and what became of it; ``faults`` say why calls failed."""

    case: Case
    got: str
    tier: str
    latency_ms: float
    faults: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the label is the expected one."""
        return self.got == self.case.label


def given(expected: str, label: Label | None) -> str:
    """Return what a classifier said in the place of ``expected``: its tier label, or its value of the same tag."""
    if label is None:
        return NONE
    key, equals, _ = expected.partition("=")
    return f"{key}={label.tags[key]}" if equals and key in label.tags else NONE if equals else label.written


class Scores:
    """What came of all cases; at least one."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results
        self.right = sum(result.right for result in results)
        self.accuracy = self.right / len(results)
        #: The same with ``fast`` and ``fast-think`` taken for one: they lead to the same tier.
        self.without_think = sum(map(_same_tier, results)) / len(results)
        self.confusion = Counter((result.case.label, result.got) for result in results)
        self.tiers = Counter(result.tier for result in results if result.tier)
        self.latencies_ms = sorted(result.latency_ms for result in results)

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of all cases did not exceed, in milliseconds."""
        return self.latencies_ms[max(0, math.ceil(share * len(self.latencies_ms)) - 1)]

    def facts(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        confusion: dict[str, dict[str, int]] = {}
        for (expected, got), count in self.confusion.items():
            confusion.setdefault(expected, {})[got] = count
        return {
            "cases": len(self.results),
            "right": self.right,
            "accuracy": round(self.accuracy, 4),
            "accuracy_without_think": round(self.without_think, 4),
            "confusion": confusion,
            "answered_by": dict(self.tiers),
            "latency_ms": {"p50": round(self.percentile_ms(0.5), 1), "p95": round(self.percentile_ms(0.95), 1)},
            "wrong": [
                {"text": r.case.text, "expected": r.case.label, "got": r.got, "faults": r.faults}
                for r in self.results
                if not r.right
            ],
        }

    def lines(self) -> Iterator[str]:
        """Yield everything as text."""
        yield from self._table()
        yield ""
        more = f" ({_percent(self.without_think)} without -think)" if self.without_think > self.accuracy else ""
        yield f"accuracy  {_percent(self.accuracy)}: {self.right} of {len(self.results)}{more}"
        yield f"latency   p50 {self.percentile_ms(0.5):.0f} ms, p95 {self.percentile_ms(0.95):.0f} ms"
        answered = ", ".join(f"{tier} {count}" for tier, count in self.tiers.most_common())
        yield f"labels    by {answered}" if answered else "labels    none"
        wrong = [result for result in self.results if not result.right]
        if wrong:
            yield ""
            yield from map(_line, wrong[:_SHOWN])
        if len(wrong) > _SHOWN:
            yield f"and {len(wrong) - _SHOWN} more (--json shows all)"
        faults = Counter(fault for result in self.results for fault in result.faults)
        yield from (f"failed {count} x {fault}" for fault, count in faults.most_common(_FAULTS_SHOWN))

    def _table(self) -> Iterator[str]:
        """Rows are what was expected, columns what came; a dot is no case."""
        rows = list(dict.fromkeys(result.case.label for result in self.results))
        strange = dict.fromkeys(got for _, got in self.confusion if got not in rows and got != NONE)
        columns = [*rows, *strange, *([NONE] if any(got == NONE for _, got in self.confusion) else [])]
        first = max(len("expected"), *map(len, rows))
        yield "  ".join(["expected".ljust(first), *columns])
        for row in rows:
            counts = [str(self.confusion[row, column] or ".").rjust(len(column)) for column in columns]
            yield "  ".join([row.ljust(first), *counts])


def _same_tier(result: Result) -> bool:
    return result.got.removesuffix(THINK) == result.case.label.removesuffix(THINK)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _line(result: Result) -> str:
    text = " ".join(result.case.text.split())
    shown = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
    return f"expected {result.case.label}, got {result.got}: {shown}"
