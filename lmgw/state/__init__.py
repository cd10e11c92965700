"""State that outlives a configuration: circuits, buckets, gates, counters."""
