from __future__ import annotations

import subprocess
import sys


def test_the_data_room_imports_no_learning_library():
    script = """
        import sys
        from vinci_offline.data import dataset, dataframe, shipped
        from vinci_offline.data.hdf5 import writer
        from vinci_offline.quality import statistics, validation
        heavy = {"tensorflow", "keras", "gymnasium", "jax", "torch", "matplotlib", "rich"} & set(sys.modules)
        print(sorted(heavy))
    """.replace("\n        ", "\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
