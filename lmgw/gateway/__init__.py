"""Performs what the plan decides: attempts, queues, relay, records."""
