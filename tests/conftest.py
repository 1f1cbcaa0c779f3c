"""What every test shares: one thread a process, and hypothesis without a stopwatch.

Two cores run two test processes; and bits are the same only for the same number of threads.
"""

from __future__ import annotations

import os

import torch
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)

settings.register_profile("quantgod", deadline=None)
settings.load_profile("quantgod")
