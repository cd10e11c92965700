"""A gateway between applications and language models: one port in, every provider out."""
