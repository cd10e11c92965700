"""Talking to providers: connections, one attempt with its timers, probes, the demo provider."""
