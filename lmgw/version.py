"""The one place where the version stands; the wheel, ``--version``, ``/status`` and the metrics read it here."""

VERSION = "0.1.0"
