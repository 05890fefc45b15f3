"""`python -m tb_plugin.export`; see `tb_plugin.export`."""

import sys
import types

from tb_plugin.export.command import main

if __name__ == "__main__":
    # TensorBoard's stub in the place of TensorFlow, which takes ten seconds to import and reads
    # nothing of ours. Only a program of its own may set it: it lasts as long as the process.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
    sys.exit(main())
