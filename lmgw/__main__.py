"""``python -m lmgw``: the ``lmgw`` command."""

import sys

from lmgw.cli import main

sys.exit(main())
