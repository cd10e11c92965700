"""``/metrics``: what was counted, as Prometheus reads it.

What happens at every request is plain arithmetic on numbers of our own; prometheus-client, whose counters take a lock
and walk all buckets, comes in when somebody scrapes. Label values are names of the configuration's and closed sets:
nothing that a client sends becomes one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from lmgw.core.record import Entry, TriedTier
from lmgw.version import VERSION

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine

#: Upper bounds of the histograms, in seconds.
TIMES_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
OVERHEADS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
#: Requests whose times are counted at once, or sooner where somebody scrapes.
AT_ONCE = 1000

#: Whose limits there are: those that a 429 names, and what the gateway as a whole can take (503).
SCOPES = ("ip", "profile", "client", "queue", "gateway")
_TOKEN_TYPES = ("input", "output", "cache_read", "cache_write")


class Histogram:
    """Counts times by upper bounds.

    :param bounds_s: the bounds, in seconds.
    :ivar new_ms: times in milliseconds that :meth:`count` has not counted yet.
    """

    __slots__ = ("_bounds_s", "_counts", "_sum_ms", "new_ms")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.new_ms: list[float] = []
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)  # of times up to each bound, and of all
        self._sum_ms = 0.0

    def count(self) -> None:
        """Count what is new; once sorted, it takes a search a bound instead of one a time."""
        new_ms, self.new_ms = sorted(self.new_ms), []
        for at, bound_s in enumerate(self._bounds_s):
            self._counts[at] += bisect_right(new_ms, 1000.0 * bound_s)
        self._counts[-1] += len(new_ms)
        self._sum_ms += sum(new_ms)

    def family(self, name: str, words: str) -> Metric:
        """Return it as a metric."""
        self.count()
        bounds = [*map(floatToGoString, self._bounds_s), "+Inf"]
        buckets = list(zip(bounds, map(float, self._counts), strict=True))
        family = HistogramMetricFamily(name, words)
        family.add_metric([], buckets, self._sum_ms / 1000)
        return family


class Counters:
    """What is counted of finished requests and kept nowhere else."""

    __slots__ = ("duration", "escalations", "failovers", "limited", "lossy", "overhead", "retries", "ttft")

    def __init__(self) -> None:
        self.duration = Histogram(TIMES_S)
        self.ttft = Histogram(TIMES_S)
        self.overhead = Histogram(OVERHEADS_S)
        self.retries = self.failovers = self.escalations = self.lossy = 0
        self.limited: Counter[str] = Counter()

    def add(self, entries: Sequence[Entry]) -> None:
        """Count finished requests."""
        duration_ms, ttft_ms, overhead_ms = self.duration.new_ms, self.ttft.new_ms, self.overhead.new_ms
        for entry in entries:
            duration_ms.append(entry.latency_ms)
            overhead_ms.append(entry.overhead_ms)
            if entry.ttft_ms is not None:
                ttft_ms.append(entry.ttft_ms)
            if len(entry.attempts) > 1:
                self._retried(entry.attempts)
            if entry.escalated:
                self.escalations += 1
            if entry.lossy:
                self.lossy += 1
        if len(duration_ms) >= AT_ONCE:
            for histogram in (self.duration, self.ttft, self.overhead):
                histogram.count()

    def _retried(self, attempts: Sequence[TriedTier]) -> None:
        for last, this in pairwise(attempts):
            if last.tier == this.tier:
                self.retries += 1
            elif last.status != 200:  # after a 200 that was not sufficient it went up: an escalation
                self.failovers += 1


class Exposition(Collector):
    """Reads an engine for Prometheus, with a registry of its own.

    :param reloads: reloads so far by outcome.
    """

    def __init__(self, engine: Engine, reloads: Callable[[], Mapping[str, int]]) -> None:
        self._engine = engine
        self._reloads = reloads
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body, in the format that an ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return every family but the process's."""
        engine, counters = self._engine, self._engine.books.counters
        yield from self._sums()
        yield counters.duration.family("lmg_request_duration_seconds", "From a request's receipt to its last byte.")
        yield counters.ttft.family("lmg_time_to_first_token_seconds", "From a request's receipt to its first content.")
        yield counters.overhead.family(
            "lmg_overhead_seconds", "The gateway's own part of the time to the first content or the failure."
        )
        yield _counter(
            "lmg_upstream_attempts",
            "Attempts at providers by what came of them, the classifier's among them.",
            ("backend", "outcome"),
            engine.watch.outcomes.items(),
        )
        yield CounterMetricFamily("lmg_retries", "Attempts repeated at the same tier.", counters.retries)
        yield CounterMetricFamily("lmg_failovers", "Attempts at another tier after a failure.", counters.failovers)
        yield CounterMetricFamily(
            "lmg_escalations", "Requests whose answer was not sufficient and went up the ladder.", counters.escalations
        )
        yield CounterMetricFamily(
            "lmg_translation_lossy", "Requests of which some fields could not be carried over.", counters.lossy
        )
        limits = counters.limited + Counter(gateway=engine.admission.turned_away)
        limited = (((scope,), limits[scope]) for scope in SCOPES)
        yield _counter("lmg_rate_limited", "Requests refused by a limit of the gateway's.", ("scope",), limited)
        reloads = (((outcome,), number) for outcome, number in self._reloads().items())
        yield _counter("lmg_config_reloads", "Reloads of the configuration.", ("outcome",), reloads)
        yield from self._state()

    def _sums(self) -> Iterator[Metric]:
        """Return what the ledger adds up."""
        requests: defaultdict[tuple[str, ...], int] = defaultdict(int)
        tokens: defaultdict[tuple[str, ...], int] = defaultdict(int)
        dollars: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for at, sums in self._engine.books.ledger.lifetime().items():
            requests[at.client, at.profile, at.tier, at.backend, at.dialect, at.outcome] += sums.requests
            for kind in _TOKEN_TYPES:
                if count := getattr(sums, kind):
                    tokens[at.client, at.tier, kind, at.source] += count
            if sums.cost_usd:
                dollars[at.client, at.tier] += sums.cost_usd
        yield _counter(
            "lmg_requests",
            "Requests by outcome: success, client_gone, or whose fault it was.",
            ("client", "profile", "tier", "backend", "dialect", "outcome"),
            requests.items(),
        )
        yield _counter(
            "lmg_tokens",
            "Tokens by kind; they are disjoint.",
            ("client", "tier", "type", "source"),
            tokens.items(),
        )
        yield _counter("lmg_cost_usd", "US dollars by the tiers' prices.", ("client", "tier"), dollars.items())

    def _state(self) -> Iterator[Metric]:
        """Return what is so now."""
        engine, config = self._engine, self._engine.current.config
        yield GaugeMetricFamily("lmg_in_flight", "Requests being served.", engine.in_flight)
        waiting = (((name,), figures["waiting"]) for name, figures in engine.queues.figures().items())
        yield _gauge("lmg_queue_depth", "Requests that wait in a queue.", "queue", waiting)
        open_ones = (((name,), int(circuit.is_open)) for name, circuit in engine.circuits.backends())
        yield _gauge("lmg_circuit_open", "Whether requests are kept away from a backend.", "backend", open_ones)
        keyless = (((name,), int(not backend.usable)) for name, backend in config.backends.items())
        yield _gauge("lmg_backend_key_missing", "Whether a backend's key is not set.", "backend", keyless)
        yield InfoMetricFamily(
            "lmg_config", "The configuration in force.", {"hash": config.fingerprint, "version": VERSION}
        )


Samples = Iterable[tuple[Sequence[str], float]]


def _counter(name: str, words: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _gauge(name: str, words: str, label: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for values, number in samples:
        family.add_metric(values, number)
    return family
