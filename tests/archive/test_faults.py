"""Each fault does what it says and nothing else: compared with the same day without it."""

import datetime as dt
import itertools
import json
import random
import zipfile

import pytest

from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import write_archives
from tests.archive.faults import lines, stream, zips
from tests.archive.faults.catalogue import FAULTS, fault
from tests.archive.faults.fault import Fault
from tests.archive.faults.writing import write_faulty

pytestmark = pytest.mark.long  # what faults do to days is tested with the fixtures

MINUTES = 10
MIDNIGHT = 1_704_067_200_000
HERE = 100
SETTINGS = SimulateSettings(
    start=dt.date(2024, 1, 1),
    days=1,
    levels=200,
    cadence_ms=1_000,
    seed=7,
    signal=0.5,
    price=60_000.0,
    tick=0.1,
    volatility=0.0009,
    changes=20,
)


def _write(folder, *faults, minutes=MINUTES, settings=SETTINGS):
    return write_faulty(folder, "BTCUSDT", settings, [stream.ends_early(minutes), *faults])


def _read(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


def _lines(folder, *faults, **options):
    (path,) = _write(folder, *faults, **options)
    return _read(path).splitlines(keepends=True)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return tuple(_lines(tmp_path_factory.mktemp("clean")))


@pytest.fixture
def faulty(tmp_path):
    return lambda *faults, **options: _lines(tmp_path, *faults, **options)


def _books(content):
    """Each message and the book after it, as dictionaries of texts; ids must not matter here."""
    bids, asks = {}, {}
    for line in content:
        message = json.loads(line)
        for side, key in ((bids, "b"), (asks, "a")):
            if message["type"] == "snapshot":
                side.clear()
            side.update(dict(message["data"][key]))
            for price in [price for price, size in side.items() if size == "0"]:
                del side[price]
        yield message, dict(bids), dict(asks)


def _at_ts(content):
    return {message["ts"]: (bids, asks) for message, bids, asks in _books(content)}


def _updates(content):
    return [json.loads(line)["data"]["u"] for line in content]


def _rises_by_one(updates):
    return all(b == a + 1 for a, b in itertools.pairwise(updates))


@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"depth_change"}))
def test_a_fault_alters_the_day_the_same_way_each_time(name, tmp_path):
    clean = _write(tmp_path / "clean", minutes=5)
    first, second = (
        _write(tmp_path / folder, FAULTS[name], minutes=5) for folder in ("first", "second")
    )
    contents = [[path.read_bytes() for path in paths] for paths in (clean, first, second)]
    assert contents[0] != contents[1] or name == "ends_early"
    assert contents[1] == contents[2]
    names = {
        path.relative_to(tmp_path / folder)
        for folder, paths in (("first", first), ("clean", clean))
        for path in paths
    }
    assert {path.name for path in names} == {"2024-01-01_BTCUSDT_ob200.data.zip"}


def test_every_example_answers_to_its_name_and_others_are_refused():
    assert fault("long_silence", day=3).day == 3
    with pytest.raises(ValueError, match="'gremlin' is not one of absolute_member, "):
        fault("gremlin")


@pytest.mark.parametrize("seconds", [4, 30, 150])
def test_silence_hides_messages_and_keeps_book_and_ids_true(seconds, clean, faulty):
    content = faulty(stream.silence(HERE, seconds))
    assert _rises_by_one(_updates(content))
    shown, true = _at_ts(content), _at_ts(clean)
    assert all(true[ts] == book for ts, book in shown.items())
    times = sorted(shown)
    holes = [b - a for a, b in itertools.pairwise(times) if b - a > 1_500]
    assert len(holes) == 1
    assert abs(holes[0] - seconds * 1_000) <= 50


def test_a_frozen_feed_repeats_itself_and_then_is_true_again(clean, faulty):
    content = faulty(stream.frozen(HERE, minutes=5))
    assert len(content) == len(clean)
    assert _rises_by_one(_updates(content))
    books = [(bids, asks) for _, bids, asks in _books(content)]
    true = [(bids, asks) for _, bids, asks in _books(clean)]
    assert books[:101] == true[:101]
    assert all(book == true[HERE] for book in books[HERE:400])
    assert books[400:] == true[400:]


@pytest.mark.parametrize("jump", [0, 50])
def test_a_mid_file_snapshot_holds_the_true_book(jump, clean, faulty):
    content = faulty(stream.mid_file_snapshot(HERE, jump))
    assert [json.loads(line)["type"] for line in content].count("snapshot") == 2
    assert _at_ts(content) == _at_ts(clean)
    updates = _updates(content)
    assert updates[HERE] - updates[HERE - 1] == 1 + jump
    assert _rises_by_one(updates[:HERE])
    assert _rises_by_one(updates[HERE:])


def test_a_restart_counts_from_one(clean, faulty):
    content = faulty(stream.restart_snapshot(HERE))
    assert _updates(content)[HERE : HERE + 3] == [1, 2, 3]
    assert _at_ts(content) == _at_ts(clean)


def test_a_restart_by_delta_counts_from_one_and_changes_nothing_else(clean, faulty):
    content = faulty(stream.restart_delta(HERE))
    assert _updates(content)[HERE : HERE + 3] == [1, 2, 3]
    assert [json.loads(line)["type"] for line in content].count("snapshot") == 1
    assert _at_ts(content) == _at_ts(clean)


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("messages", [1, 200])
def test_a_crossed_book_is_crossed_for_a_while_and_true_afterwards(locked, messages, clean, faulty):
    content = faulty(stream.crossed_book(HERE, messages, locked=locked))
    true = [(bids, asks) for _, bids, asks in _books(clean)]
    books = [(bids, asks) for _, bids, asks in _books(content)]
    for bids, asks in books[HERE : HERE + messages]:
        bid, ask = max(map(float, bids)), min(map(float, asks))
        assert bid == ask if locked else bid > ask
    assert books[:HERE] == true[:HERE]
    assert books[HERE + messages :] == true[HERE + messages :]


@pytest.mark.parametrize("side", ["b", "a"])
@pytest.mark.parametrize("messages", [1, 10])
def test_an_empty_side_is_empty_for_a_while_and_true_afterwards(side, messages, clean, faulty):
    content = faulty(stream.empty_side(HERE, messages, side))
    true = [(bids, asks) for _, bids, asks in _books(clean)]
    books = [(bids, asks) for _, bids, asks in _books(content)]
    place = {"b": 0, "a": 1}[side]
    assert all(book[place] == {} for book in books[HERE : HERE + messages])
    assert all(book[1 - place] for book in books)
    assert books[:HERE] == true[:HERE]
    assert books[HERE + messages :] == true[HERE + messages :]


def test_gaps_duplicates_and_reorderings_move_whole_lines(clean, faulty):
    whole = list(clean)
    assert faulty(stream.sequence_gap(HERE, lost=3)) == whole[:HERE] + whole[HERE + 3 :]
    assert faulty(stream.duplicate_message(HERE)) == whole[: HERE + 1] + whole[HERE:]
    swapped = [whole[HERE + 1], whole[HERE]]
    expected = whole[:HERE] + swapped + whole[HERE + 2 :]
    assert faulty(stream.reordered_messages(HERE)) == expected
    assert faulty(stream.starts_with_deltas(5)) == whole[5:]


def test_a_file_ends_and_begins_where_it_is_told_to(clean, faulty):
    early = faulty(minutes=4)
    assert early == list(clean[:240])
    late = faulty(stream.starts_late(minute=2))
    first = json.loads(late[0])
    assert first["type"] == "snapshot"
    assert 120_000 <= first["ts"] - MIDNIGHT < 121_000
    true = _at_ts(clean)
    assert all(true[ts] == book for ts, book in _at_ts(late).items())
    assert late[1:] == list(clean[121:])


def test_a_file_that_starts_early_says_nothing_wrong_before_midnight(clean, faulty):
    content = faulty(stream.starts_early(60))
    assert content[60:] == list(clean)
    assert _rises_by_one(_updates(content))
    before = list(_books(content[:60]))
    ((_, bids, asks),) = _books(clean[:1])
    assert all((b, a) == (bids, asks) for _, b, a in before)
    assert -60_000 <= before[0][0]["ts"] - MIDNIGHT < -59_900


def test_times_are_moved_and_nothing_else(clean, faulty):
    for made, by in ((stream.out_of_order_time(HERE), -3_000), (stream.far_time(HERE, 7), 7)):
        content = faulty(made)
        message, true = json.loads(content[HERE]), json.loads(clean[HERE])
        assert message.pop("ts") - true.pop("ts") == by
        assert message == true
        assert content[:HERE] + content[HERE + 1 :] == [*clean[:HERE], *clean[HERE + 1 :]]


@pytest.mark.parametrize("name", ["unknown_keys", "white_space", "reversed_keys"])
def test_another_way_of_writing_says_the_same(name, clean, faulty):
    content = faulty(FAULTS[name])
    assert content != list(clean)
    for line, true in zip(content, clean, strict=True):
        message, expected = json.loads(line), json.loads(true)
        assert {key: message[key] for key in expected} == expected


def test_a_day_may_close_with_the_next_ones_snapshot(clean, faulty):
    content = faulty(stream.closing_snapshot())
    assert content[:-1] == list(clean)
    message = json.loads(content[-1])
    assert message["type"] == "snapshot"
    assert message["ts"] // 60_000 == json.loads(clean[-1])["ts"] // 60_000 + 1
    assert _rises_by_one(_updates(content))
    *_, (_, bids, asks) = _books(clean)
    assert (dict(message["data"]["b"]), dict(message["data"]["a"])) == (bids, asks)


def test_a_byte_order_mark_stands_before_all_else(clean, faulty):
    assert b"".join(faulty(lines.byte_order_mark())) == b"\xef\xbb\xbf" + b"".join(clean)


def test_without_faults_archives_are_those_of_the_simulator(tmp_path):
    settings = SETTINGS.model_copy(update={"days": 2, "cadence_ms": 60_000})
    sound = write_archives(tmp_path / "sound", "BTCUSDT", settings)
    unspoilt = write_faulty(tmp_path / "unspoilt", "BTCUSDT", settings)
    assert [path.name for path in sound] == [path.name for path in unspoilt]
    assert [path.read_bytes() for path in sound] == [path.read_bytes() for path in unspoilt]


@pytest.mark.parametrize(
    "idle", [stream.sequence_gap(HERE, lost=0), Fault("touched", archive=lambda path: [path])]
)
def test_a_fault_that_changes_nothing_is_refused(idle, tmp_path):
    with pytest.raises(ValueError, match=f"the fault {idle.name} changed no"):
        _write(tmp_path, idle)


def test_messages_may_lack_the_matching_time(clean, faulty):
    for line, true in zip(faulty(lines.no_matching_time()), clean, strict=True):
        expected = json.loads(true)
        del expected["cts"]
        assert json.loads(line) == expected


@pytest.mark.parametrize(
    "made",
    [
        lines.corrupt_line(HERE),
        lines.binary_line(HERE),
        lines.corrupt_lines(0.05),
        lines.last_line_cut(),
    ],
    ids=lambda made: made.name,
)
def test_corrupt_lines_are_no_json_and_the_others_are_whole(made, clean, faulty):
    content = faulty(made)
    assert len(content) == len(clean)
    changed = [i for i, pair in enumerate(zip(content, clean, strict=True)) if pair[0] != pair[1]]
    expected = {"corrupt_lines": range(20, 80), "last_line_cut": [1]}.get(made.name, [1])
    assert len(changed) in expected
    assert 0 not in changed
    for place in changed:
        with pytest.raises(ValueError, match=r"."):
            json.loads(content[place].decode(errors="replace"))


@pytest.mark.parametrize(("of", "place"), [("price", 0), ("size", 1)])
@pytest.mark.parametrize("side", ["b", "a"])
def test_a_bad_number_stands_where_it_was_put(of, place, side, faulty):
    for message in random.Random(0).sample(range(1, 200), 6):
        content = faulty(lines.bad_number(message, "nan", of, side), minutes=4)
        rows = json.loads(content[message])["data"][side]
        assert [row[place] for row in rows].count("nan") == 1


def test_a_wrong_symbol_stands_in_topic_and_data(faulty):
    one = [json.loads(line) for line in faulty(lines.wrong_symbol("ETHUSDT", HERE))]
    every = [json.loads(line) for line in faulty(lines.wrong_symbol("ETHUSDT"))]
    assert [i for i, message in enumerate(one) if message["data"]["s"] != "BTCUSDT"] == [HERE]
    assert one[HERE]["topic"] == "orderbook.200.ETHUSDT"
    assert {message["data"]["s"] for message in every} == {"ETHUSDT"}


def test_a_fault_beyond_the_day_is_an_error(faulty):
    with pytest.raises(ValueError, match="message 5000 was to be changed, but the day has 600"):
        faulty(lines.corrupt_line(5_000))


def test_faults_fall_on_their_own_day(tmp_path):
    settings = SETTINGS.model_copy(update={"days": 2})
    ends = [stream.ends_early(3), stream.ends_early(3).on(1)]
    clean = write_faulty(tmp_path / "clean", "BTCUSDT", settings, ends)
    made = [*ends, zips.wrong_crc().on(1)]
    faulty = write_faulty(tmp_path / "faulty", "BTCUSDT", settings, made)
    assert faulty[0].read_bytes() == clean[0].read_bytes()
    with zipfile.ZipFile(faulty[1]) as archive:
        assert archive.testzip() == archive.namelist()[0]


def test_a_change_of_depth_holds_from_its_day_on(tmp_path):
    settings = SETTINGS.model_copy(update={"days": 3, "levels": 500, "cadence_ms": 10_000})
    ends = [stream.ends_early(3).on(day) for day in range(3)]
    paths = write_faulty(tmp_path, "BTCUSDT", settings, [*ends, zips.depth_change().on(1)])
    assert ["ob500" in path.name for path in paths] == [True, False, False]
    for path, levels in zip(paths, (500, 200, 200), strict=True):
        *_, (message, bids, asks) = _books(_read(path).splitlines())
        assert message["topic"] == f"orderbook.{levels}.BTCUSDT"
        assert len(bids) == len(asks) == levels


def test_members_are_what_they_should_not_be(tmp_path):
    def members(made):
        (path,) = _write(tmp_path, made)
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()

    assert members(zips.parent_path_member())[0].filename.startswith("../")
    assert members(zips.absolute_member())[0].filename.startswith("/")
    assert members(zips.symlink_member())[0].external_attr >> 28 == 0o12
    assert [info.filename for info in members(zips.extra_member())][1:] == ["readme.txt"]
    assert members(zips.encrypted_member())[0].flag_bits & 1
    assert members(zips.stored_member())[0].compress_type == zipfile.ZIP_STORED
    assert members(zips.no_member()) == []
    assert members(zips.empty_member())[0].file_size == 0
    bomb = members(zips.bomb_ratio(32))[0]
    assert bomb.file_size / bomb.compress_size > 200
    assert members(zips.bomb_size(1_000_000))[0].file_size > 1_000_000
    assert members(zips.claimed_size(100))[0].file_size == 100


def test_the_same_day_twice_may_differ(tmp_path):
    same = _write(tmp_path / "same", zips.same_day_twice())
    other = _write(tmp_path / "other", zips.same_day_twice(fraction=0.5))
    assert _read(same[0]) == _read(same[1])
    whole, half = (_read(path) for path in other)
    assert whole.startswith(half)
    assert half.endswith(b"\n")
    assert 0.4 < len(half) / len(whole) <= 0.5
    assert _write(tmp_path / "gone", zips.missing_day()) == []
    assert not list((tmp_path / "gone").iterdir())
