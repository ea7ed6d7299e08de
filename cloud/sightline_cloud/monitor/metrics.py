"""Prometheus metrics: what was asked, how it was answered and how long each stage took; the rest is read when it is scraped.

Labels are few and bounded: no tenant, key or item is one. A tenant's class is its index's kind, what its queries cost.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sightline_cloud.engine import Engine
from sightline_shared.protocol import Answer

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """One service's metrics, in a registry of their own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.registry = CollectorRegistry()
        requests = Counter(
            "sightline_requests", "Requests by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self._errors = Counter("sightline_errors", "Refusals and failures by code.", ["code"], registry=self.registry)
        answers = Counter(
            "sightline_answers",
            "Answers by what they claim, the kind of thing asked about, and the kind of the tenant's index.",
            ["decision", "domain", "tenant_class", "partial"],
            registry=self.registry,
        )
        answer_seconds = Histogram(
            "sightline_answer_seconds",
            "From a query's arrival to its answer.",
            ["decision", "domain", "tenant_class"],
            buckets=SECONDS,
            registry=self.registry,
        )
        stage_seconds = Histogram(
            "sightline_stage_seconds",
            "Time in each stage of a query.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        # There are ten of them an answer, and prometheus_client takes longer to look one up than to count.
        self._requests_of, self._answers_of = cache(requests.labels), cache(answers.labels)
        self._answer_seconds_of, self._stage_seconds_of = cache(answer_seconds.labels), cache(stage_seconds.labels)
        self.registry.register(EngineCollector(engine))

    def answered(self, tenant: str, pairing_id: bytes, answer: Answer, seconds: float) -> None:
        """Count an answer of the generation `pairing_id` that took `seconds`."""
        kind = self._engine.generation(pairing_id).indexes.kind(tenant)
        decision, domain = answer.decision.label, answer.versions.get("domain", "unknown")
        self._answers_of(decision, domain, kind, str(answer.partial).lower()).inc()
        self._answer_seconds_of(decision, domain, kind).observe(seconds)
        for stage, ms in answer.stages_ms.items():
            self._stage_seconds_of(stage).observe(ms / 1000)

    def requested(self, method: str, route: str, status: int, error_code: str | None) -> None:
        """Count a request; `route` is the declared path, never what a caller wrote."""
        self._requests_of(method, route, str(status)).inc()
        if error_code:
            self._errors.labels(error_code).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)


class EngineCollector(Collector):
    """Reads indexes, cache, policy and pressure when it is scraped: nothing is counted twice."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        return []  # else the registry would scrape when it is made

    def collect(self) -> Iterator[Metric]:
        yield from self._pressure()
        yield from self._cache()
        yield from self._policy()
        yield from self._indexes()

    def _pressure(self) -> Iterator[Metric]:
        stats = self._engine.pressure.stats()
        yield GaugeMetricFamily("sightline_degrade_level", "Steps down the degrade ladder, 0 to 6.", stats["level"])
        yield GaugeMetricFamily("sightline_queries_waiting", "Queries that wait for a thread.", stats["waiting"])
        yield GaugeMetricFamily("sightline_queries_running", "Queries that are worked on.", stats["running"])
        yield CounterMetricFamily(
            "sightline_queries_shed", "Queries refused since they would have waited.", stats["shed"]
        )

    def _cache(self) -> Iterator[Metric]:
        caches = (
            ("cache", "result cache", self._engine.cache.stats()),
            ("items", "items as they were last read", self._engine.store.recent.stats()),
        )
        for name, what, stats in caches:
            asked = CounterMetricFamily(f"sightline_{name}_lookups", f"Lookups: {what}.", labels=["outcome"])
            for outcome in ("hits", "misses"):
                asked.add_metric([outcome], stats[outcome])
            yield asked
            yield GaugeMetricFamily(f"sightline_{name}_bytes", f"Memory: {what}.", stats["bytes"])

    def _policy(self) -> Iterator[Metric]:
        stats = self._engine.policy.stats()
        routes = CounterMetricFamily("sightline_routes", "Queries by the policy's route.", labels=["route"])
        for route in ("open", "unsure", "sensitive", "failed"):
            routes.add_metric([route], stats[route])
        yield routes
        yield GaugeMetricFamily(
            "sightline_policy_overdue", "1 when the policy's review is overdue.", int(stats["overdue"])
        )

    def _indexes(self) -> Iterator[Metric]:
        totals: Counts[tuple[str, str]] = Counts()
        vectors: Counts[tuple[str, str]] = Counts()
        for live in self._engine.generations.values():
            for figures in live.indexes.stats().values():
                delta = figures.get("delta", 0)
                vectors[live.key, "delta"] += delta
                vectors[live.key, figures["kind"]] += figures["vectors"] - delta
                for name in ("ram_bytes", "ssd_bytes", "tombstones", "ram_probes", "ssd_probes"):
                    totals[live.key, name] += figures.get(name, 0)
        held = GaugeMetricFamily("sightline_vectors", "Vectors by tier.", labels=["generation", "tier"])
        for (generation, tier), count in vectors.items():
            held.add_metric([generation, tier], count)
        yield held
        size = GaugeMetricFamily("sightline_index_bytes", "What the indexes take.", labels=["generation", "where"])
        dead = GaugeMetricFamily(
            "sightline_tombstones", "Deleted rows that a compaction will drop.", labels=["generation"]
        )
        probes = CounterMetricFamily("sightline_list_probes", "Lists looked into.", labels=["generation", "tier"])
        for live in self._engine.generations.values():
            for where in ("ram", "ssd"):
                size.add_metric([live.key, where], totals[live.key, f"{where}_bytes"])
                probes.add_metric([live.key, where], totals[live.key, f"{where}_probes"])
            dead.add_metric([live.key], totals[live.key, "tombstones"])
        yield from (size, dead, probes)
        behind = GaugeMetricFamily("sightline_index_trouble", "1 while an index cannot follow.", labels=["generation"])
        for live in self._engine.generations.values():
            behind.add_metric([live.key], int(live.indexes.trouble is not None))
        yield behind
