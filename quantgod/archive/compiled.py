"""How this room compiles: to machine code by numba, without fast maths, kept on disk between runs.

Numba's cache looks only at the file that holds a function, not at what the function calls. So only
entry points are kept, and `sources_digest` becomes part of their key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from quantgod.files import file_digest, value_digest

NEWLINE: Final = ord("\n")

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile, as a part of entry points."""
    return cast(Function, njit(error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Compile into the callers: for what is small and called for every byte or level."""
    return cast(Function, njit(forceinline=True, error_model="numpy")(function))


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


_byte: Any = intrinsic(_load_byte)
_word: Any = intrinsic(_load_word)
ZEROS: Final = np.uint64(0x3030303030303030)
ABOVE_NINE: Final = np.uint64(0x7676767676767676)
HIGH_BITS: Final = np.uint64(0x8080808080808080)
PAIRS: Final = np.uint64(0x00FF00FF00FF00FF)
FOURS: Final = np.uint64(0x0000FFFF0000FFFF)
EIGHTS: Final = np.uint64(0x00000000FFFFFFFF)
BITS_8, BITS_16, BITS_32 = np.uint64(8), np.uint64(16), np.uint64(32)
TEN, HUNDRED, MYRIAD = np.uint64(10), np.uint64(100), np.uint64(10_000)


@inlined
def digits_before(end: int, count: int) -> int:
    """The number whose `count` (1 to 8) digits end before an address; -1 if one is no digit.

    All at once, in one word: first a test of each byte, then sums of pairs, of fours, of eight. The
    eight bytes before `end` must be readable.
    """
    unused = np.uint64(64 - 8 * count)
    digits = ((_word(end - 8) ^ ZEROS) >> unused) << unused
    if ((digits + ABOVE_NINE) | digits) & HIGH_BITS:
        return -1
    pairs = (digits * TEN + (digits >> BITS_8)) & PAIRS
    fours = (pairs * HUNDRED + (pairs >> BITS_16)) & FOURS
    return int(np.int64((fours * MYRIAD + (fours >> BITS_32)) & EIGHTS))
