"""For all tests. Imported before any of them."""

import os

# One thread for numpy: OpenBLAS has been seen to wait for its own threads for minutes on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
