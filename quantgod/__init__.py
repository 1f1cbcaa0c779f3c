"""Turn raw exchange order books into audited, deployable signals.

`quantgod.library` is the public interface; its names are also here, and are loaded on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Version", "load_version", "make_features", "read_bars", "read_journal"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("quantgod.library"), name)
