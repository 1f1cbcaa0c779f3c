"""How this room compiles: to machine code by numba, without fast maths, kept on disk between runs.

Numba's cache looks only at the file that holds a function, not at what the function calls. So only
entry points are kept, and `sources_digest` becomes part of their key.
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

# A count of references is an atomic operation, and a message would cost dozens of them. Entry
# points hold all arrays, and what they call makes none: numba would not compile it.
UNCOUNTED: Final[dict[str, Any]] = {"error_model": "numpy", "_nrt": False}

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile, as a part of entry points."""
    return cast(Function, njit(**UNCOUNTED)(function))


def inlined(function: Function) -> Function:
    """Compile into the callers: for what is small and called for every byte or level."""
    return cast(Function, njit(forceinline=True, **UNCOUNTED)(function))


def kept(function: Function) -> Function:
    """Compile as an entry point, kept on disk between runs and shared by processes."""
    return cast(Function, njit(cache=True, error_model="numpy")(function))


def sources_digest(modules: Iterable[ModuleType]) -> str:
    """SHA-256 over the source files of `modules`."""
    return value_digest([file_digest(Path(str(module.__file__))) for module in modules])


@inlined
def byte(at: int) -> int:
    """The byte at an address; a newline at address 0, which stands for nowhere.

    An array's index would cost a test for negative values at every byte.
    """
    return int(_byte(at)) if at else NEWLINE


def _load_byte(context: Any, at: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        return builder.zext(builder.load(place), ir.IntType(64))

    return types.int64(types.int64), generate


def _load_word(context: Any, at: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        loaded = builder.load(place)
        loaded.align = 1
        return loaded

    return types.uint64(types.int64), generate


def _count_trailing_zeros(context: Any, value: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


_byte: Any = intrinsic(_load_byte)

word: Any = intrinsic(_load_word)
"""(address) -> the eight bytes from there as an unsigned integer, the first one lowest."""

trailing_zeros: Any = intrinsic(_count_trailing_zeros)
"""(word) -> how many zero bits lie below its lowest one; 64 for zero."""
