"""The named faults that a simulated archive can be given, as ready-made examples and as parts.

`FAULTS` maps a name to a fault that works on any day of at least 200 messages, so that a test can
walk over all of them. To place one elsewhere call its maker in `lines`, `stream` or
`zips`; to put it on another day call `.on(day)`. Faults of a day apply in the order given,
line faults first. A day costs least with `ends_early(minute)` first: what would come later is not
simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.archive.faults import lines, stream, zips
from tests.archive.faults.fault import Fault

HERE: Final = 100
"""The message that the examples fall on."""

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        # the file
        "not_a_zip": zips.not_a_zip(),
        "empty_file": zips.not_a_zip(b""),
        "truncated_zip": zips.truncated_zip(),
        "flipped_byte": zips.flipped_byte(),
        "wrong_crc": zips.wrong_crc(),
        "bomb_size": zips.bomb_size(64 << 20),
        "bomb_ratio": zips.bomb_ratio(),
        "claimed_size_large": zips.claimed_size(0xFFFFFFF0),
        "claimed_size_small": zips.claimed_size(100),
        "extra_member": zips.extra_member(),
        "parent_path_member": zips.parent_path_member(),
        "absolute_member": zips.absolute_member(),
        "symlink_member": zips.symlink_member(),
        "encrypted_member": zips.encrypted_member(),
        "stored_member": zips.stored_member(),
        "no_member": zips.no_member(),
        "empty_member": zips.empty_member(),
        "missing_day": zips.missing_day(),
        "same_day_twice": zips.same_day_twice(),
        "same_day_twice_differently": zips.same_day_twice(fraction=0.5),
        "depth_change": zips.depth_change(),
        # lines that are no messages
        "corrupt_line": lines.corrupt_line(HERE),
        "corrupt_lines": lines.corrupt_lines(0.05),
        "last_line_cut": lines.last_line_cut(),
        "binary_line": lines.binary_line(HERE),
        "long_line": lines.long_line(HERE, 5_000_000),
        "missing_data": lines.missing_key(HERE, "data"),
        "missing_update_id": lines.missing_key(HERE, "u"),
        "wrong_type": lines.wrong_type(HERE),
        "nan_size": lines.bad_number(HERE, "nan"),
        "inf_size": lines.bad_number(HERE, "inf"),
        "negative_size": lines.bad_number(HERE, "-1.000"),
        "overflowing_size": lines.bad_number(HERE, "1e999"),
        "nan_price": lines.bad_number(HERE, "nan", "price"),
        "inf_price": lines.bad_number(HERE, "inf", "price", "a"),
        "negative_price": lines.bad_number(HERE, "-60000.00", "price"),
        "zero_price": lines.bad_number(HERE, "0.00", "price"),
        "non_numeric": lines.bad_number(HERE, "many"),
        "big_number": lines.bad_number(HERE, "123456789012.345"),
        # order and time
        "out_of_order_time": stream.out_of_order_time(HERE),
        "far_time": stream.far_time(HERE),
        "sequence_gap": stream.sequence_gap(HERE),
        "duplicate_message": stream.duplicate_message(HERE),
        "reordered_messages": stream.reordered_messages(HERE),
        "mid_file_snapshot": stream.mid_file_snapshot(HERE),
        "mid_file_snapshot_jump": stream.mid_file_snapshot(HERE, jump=50),
        "restart_snapshot": stream.restart_snapshot(HERE),
        "restart_delta": stream.restart_delta(HERE),
        "short_silence": stream.silence(HERE, seconds=4),
        "long_silence": stream.silence(HERE, seconds=30),
        "frozen": stream.frozen(HERE, minutes=12),
        # wrong books
        "crossed_book": stream.crossed_book(HERE),
        "locked_book": stream.crossed_book(HERE, locked=True),
        "empty_bids": stream.empty_side(HERE),
        "empty_asks": stream.empty_side(HERE, side="a"),
        "wrong_symbol": lines.wrong_symbol("ETHUSDT"),
        "wrong_symbol_line": lines.wrong_symbol("ETHUSDT", HERE),
        # beginnings and ends
        "starts_with_deltas": stream.starts_with_deltas(),
        "starts_early": stream.starts_early(),
        "starts_late": stream.starts_late(minute=2),
        "ends_early": stream.ends_early(minute=4),
        # other ways to write the same
        "blank_line": lines.blank_line(HERE),
        "unknown_keys": lines.unknown_keys(),
        "white_space": lines.white_space(),
        "reversed_keys": lines.reversed_keys(),
        "windows_line_ends": lines.windows_line_ends(),
        "byte_order_mark": lines.byte_order_mark(),
        "no_last_line_end": lines.no_last_line_end(),
    }
)


def fault(name: str, *, day: int = 0) -> Fault:
    """The example of that name, on that day.

    Raises:
        ValueError: for a name that is not in `FAULTS`.
    """
    if name not in FAULTS:
        raise ValueError(f"fault {name!r} is not one of {', '.join(sorted(FAULTS))}")
    return FAULTS[name].on(day)
