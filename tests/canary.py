"""The key that tests give to the gateway: it must never be seen on any side but the provider's."""

CANARY = "sk-canary-7f3b9d0c5e1a4682"
