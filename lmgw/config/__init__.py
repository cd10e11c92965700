"""TOML files and the environment, made into one frozen :class:`~lmgw.config.snapshot.Config`."""
