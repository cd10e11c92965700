"""The two ports: routes, limits, guards, and the one writer to a client."""
