"""Numba kernels of planning; they see only numpy and numba.

The OpenMP threads of Numba must sleep between kernels instead of spinning: beside any other busy
process (a picture being drawn, a second program) spinning threads make small kernels up to twenty
times slower. The library reads these names once, when the first parallel kernel runs.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
