"""Bytes to events and back, for every dialect. Pure: no I/O, no clock, no environment."""
