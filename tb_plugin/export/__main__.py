"""`python -m tb_plugin.export`; see `tb_plugin.export`."""

import sys

from tb_plugin.export.command import main

if __name__ == "__main__":
    sys.exit(main())
