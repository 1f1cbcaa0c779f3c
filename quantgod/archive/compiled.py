"""Compile functions with numba, without fast maths, and cache entry points on disk.

Numba's cache checks only the file of a function, not the functions that it calls. So only entry
points are cached, and `sources_digest` becomes part of their key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from quantgod.files import file_digest, value_digest

NEWLINE: Final = ord("\n")

# Reference counts are atomic operations, and a message would need dozens. Entry points hold all
# arrays; functions that they call must not create any, or numba does not compile them.
UNCOUNTED: Final[dict[str, Any]] = {"error_model": "numpy", "_nrt": False}

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function that entry points call."""
    return cast(Function, njit(**UNCOUNTED)(function))


def inlined(function: Function) -> Function:
    """Compile a function into its callers, for small functions called for every byte or level."""
    return cast(Function, njit(forceinline=True, **UNCOUNTED)(function))


def kept(function: Function) -> Function:
    """Compile an entry point, cached on disk and shared by processes."""
    return cast(Function, njit(cache=True, error_model="numpy")(function))


def sources_digest(modules: Iterable[ModuleType]) -> str:
    """Return the SHA-256 of the source files of `modules`."""
    return value_digest([file_digest(Path(str(module.__file__))) for module in modules])


@inlined
def byte(at: int) -> int:
    """Return the byte at an address; a newline at address 0, which means nowhere.

    An array index would cost a test for negative values at every byte.
    """
    return int(_byte(at)) if at else NEWLINE


def _load_byte(context: Any, at: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(*arguments, ir.IntType(8).as_pointer())
        return builder.zext(builder.load(place), ir.IntType(64))

    return types.int64(types.int64), generate


def _load_word(context: Any, at: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(*arguments, ir.IntType(64).as_pointer())
        loaded = builder.load(place)
        loaded.align = 1
        return loaded

    return types.uint64(types.int64), generate


def _count_trailing_zeros(context: Any, value: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(*arguments, ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


_byte: Any = intrinsic(_load_byte)

word: Any = intrinsic(_load_word)
"""(address) -> the eight bytes there as an unsigned integer, the first one lowest."""

trailing_zeros: Any = intrinsic(_count_trailing_zeros)
"""(word) -> the number of zero bits below its lowest one; 64 for zero."""
