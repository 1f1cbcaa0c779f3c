"""Raw exchange order books in, audited and deployable signals out.

`quantgod.library` says what other programs may rely on; its names stand here too, and are loaded
when they are first asked for.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Version", "load_version", "make_features", "read_bars", "read_journal"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("quantgod.library"), name)
