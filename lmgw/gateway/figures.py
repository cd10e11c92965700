"""How things stand, JSON-ready: circuits, queues, backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults

from lmgw.config.snapshot import Provider
from lmgw.core.circuit import Circuit
from lmgw.gateway.inflight import in_flight
from lmgw.upstream.loaded import LoadedModel, loaded_models
from lmgw.upstream.probe import ProbeResult, probe

if TYPE_CHECKING:
    from lmgw.gateway.engine import Engine
    from lmgw.gateway.runtime import Runtime
    from lmgw.gateway.task import Task


def snapshot(engine: Engine, tasks: dict[Task, None]) -> dict[str, Any]:
    """Return what runs and waits, and which circuits are not closed."""
    now = engine.now()
    circuits = [("backend", *named) for named in engine.circuits.backends()]
    circuits += [("tier", *named) for named in engine.circuits.tiers()]
    return {
        **in_flight(tasks, now),
        "queues": engine.queues.figures(),
        "circuits": [
            {"scope": scope, "name": name, **circuit_of(circuit, now)}
            for scope, name, circuit in circuits
            if circuit.is_open
        ],
    }


def circuit_of(circuit: Circuit, now: float) -> dict[str, Any]:
    """Return one circuit: ``closed``, ``open``, or ``probing`` where the next request may try or is trying.

    ``retry_in_ms`` is the time until then, ``reason`` why it opened.
    """
    until = circuit.open_until
    return {
        "state": "closed" if until is None else "open" if now < until else "probing",
        "error_share": round(circuit.error_share, 3),
        "retry_in_ms": None if until is None else max(round((until - now) * 1000), 0),
        "reason": circuit.reason,
    }


async def backends(engine: Engine) -> dict[str, Any]:
    """Probe every backend, all at once, without spending a token; ``ok`` where all are well."""
    runtime = engine.current
    rows: list[dict[str, Any]] = await gatherResults(
        [Deferred.fromCoroutine(_backend(engine, runtime, name)) for name in runtime.config.backends]
    )
    return {"ok": all(row["ok"] for row in rows), "backends": rows}


async def _backend(engine: Engine, runtime: Runtime, name: str) -> dict[str, Any]:
    backend, target = runtime.config.backends[name], runtime.targets[name]
    asked: list[Deferred[Any]] = [
        Deferred.fromCoroutine(probe(engine.client, target, backend, engine.reactor)),
        Deferred.fromCoroutine(loaded_models(engine.client, target, engine.reactor)),
    ]
    found: ProbeResult
    loaded: list[LoadedModel] | None
    found, loaded = await gatherResults(asked)
    now = engine.now()
    pool = engine.pools.figures().get(name)
    return {
        "name": name,
        "provider": backend.provider.value,
        "ok": found.ok,
        "status": found.status,
        "latency_ms": round(found.latency_ms, 1),
        "words": found.words,
        "key_missing": not backend.usable,
        "circuit": circuit_of(engine.circuits.backend(name), now),
        "tiers": {
            tier.name: circuit_of(engine.circuits.tier(tier.name), now)
            for tier in runtime.config.tiers.values()
            if tier.backend == name
        },
        "connections": None if pool is None else {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting},
        "loaded_models": loaded if backend.provider is Provider.OLLAMA else None,
    }
