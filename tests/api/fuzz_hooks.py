"""What the fuzzer knows of If-Match: every other change is of what is there now."""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

import requests
import schemathesis

IS_SEEN = cycle((True, False))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if "If-Match" in (case.headers or {}) and next(IS_SEEN):
        said = {"Authorization": os.environ["FUZZ_BEARER"]}
        answer = requests.get(f"{os.environ['FUZZ_ADDRESS']}/api/deployments", headers=said)
        case.headers["If-Match"] = answer.headers["ETag"]
