from __future__ import annotations

import pytest

from cdc.errors import DecodeError
from cdc_source_mysql.binlog.gtid import GtidSet, MariadbGtids

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "024da167-0c0c-11e8-8442-00059a3c7b00"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        (f"{A}:1", f"{A}:1"),
        (f"{A}:1-5", f"{A}:1-5"),
        (f"{A.upper()}:1-5", f"{A}:1-5"),
        (A.replace("-", "") + ":1-5", f"{A}:1-5"),
        (f"{A}:7:1-2:3-5", f"{A}:1-5:7"),
        (f"{A}:1-5:4-9", f"{A}:1-9"),
        (f" {A}:1-5,\n{B}:1 ", f"{B}:1,{A}:1-5"),
        (f"{A}:1-5,{A}:6", f"{A}:1-6"),
        (f"{A}:Blue:1-5:9:1_a:1".replace("1_a", "a_1"), f"{A}:a_1:1:blue:1-5:9"),
        (f"{A}:1-3:blue:5", f"{A}:1-3:blue:5"),
        (f"{A}:blue:5,{A}:1-3", f"{A}:1-3:blue:5"),
        (f"{A}:5-4", ""),
    ],
)
def test_gtid_set_has_one_text(text: str, canonical: str) -> None:
    found = GtidSet.parse(text)
    assert str(found) == canonical
    assert GtidSet.parse(canonical) == found


@pytest.mark.parametrize(
    "text",
    ["x", A, f"{A}:", f"{A}:0", f"{A}:1-", f"{A}:-1", f"{A}:blue:", "0-1-5", f"{A}:9223372036854775807"],
)
def test_text_that_is_no_gtid_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="GTID set"):
        GtidSet.parse(text)


def test_transactions_in_order_make_one_run() -> None:
    found = GtidSet()
    for number in range(1, 2001):
        found.add(A, "", number)
    found.add(A, "blue", 3)
    assert str(found) == f"{A}:1-2000:blue:3"
    assert found.count() == 2001
    assert found.contains(A, "", 2000)
    assert not found.contains(A, "", 2001)
    assert not found.contains(A, "blue", 1)


def test_transactions_out_of_order_melt_together() -> None:
    found = GtidSet()
    for number in (5, 1, 9, 7, 3, 2, 8, 4, 6):
        found.add(A, "", number)
    assert str(found) == f"{A}:1-9"


def test_difference_names_what_is_missing() -> None:
    ours, theirs = GtidSet.parse(f"{A}:5-6:9,{B}:1"), GtidSet.parse(f"{A}:1-10:blue:1,{B}:1-2")
    assert ours.issubset(theirs)
    assert not theirs.issubset(ours)
    assert str(theirs.subtract(ours)) == f"{B}:2,{A}:1-4:7-8:10:blue:1"


# Bytes that MySQL 9.7 sent and accepted.
def test_set_without_tags_keeps_the_old_binary_form() -> None:
    data = GtidSet.parse(f"{A}:1-23").encode()
    assert (
        data.hex() == "0100000000000000" + A.replace("-", "") + "0100000000000000"
        "0100000000000000"
        "1800000000000000"
    )
    assert GtidSet.decode(data) == GtidSet.parse(f"{A}:1-23")


def test_set_with_tags_takes_the_tagged_form() -> None:
    found = GtidSet.parse(f"{A}:1-2:blue:5")
    data = found.encode()
    head, first, second = data[:8], data[8:49], data[49:]
    assert head.hex() == "0102000000000001"
    assert first.hex() == A.replace("-", "") + "00010000000000000001000000000000000300000000000000"
    assert (
        second.hex() == A.replace("-", "") + "08" + b"blue".hex() + "0100000000000000"
        "0500000000000000"
        "0600000000000000"
    )
    assert GtidSet.decode(data) == found


@pytest.mark.parametrize("cut", [0, 7, 8, 20, 31, 40, 47])
def test_torn_set_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError):
        GtidSet.decode(GtidSet.parse(f"{A}:1-23").encode()[:cut])


@pytest.mark.parametrize(
    "data",
    [
        GtidSet.parse(f"{A}:1-23").encode() + b"\0",
        (2**55).to_bytes(8, "little"),
        (1).to_bytes(8, "little") + bytes(16) + (2**60).to_bytes(8, "little"),
        (1).to_bytes(8, "little") + bytes(16) + (1).to_bytes(8, "little") + bytes(16),
    ],
)
def test_set_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        GtidSet.decode(data)


def test_mariadb_keeps_the_last_of_each_domain() -> None:
    place = MariadbGtids.parse("1-1-7, 0-1-5")
    place.add(0, 2, 6)
    assert str(place) == "0-2-6,1-1-7"
    assert place.covers(MariadbGtids.parse("0-9-6"))
    assert not place.covers(MariadbGtids.parse("2-1-1"))
    assert MariadbGtids.parse("") == MariadbGtids()


@pytest.mark.parametrize("text", ["0-1", "a-1-5", "0-1-5,0-1-6", "4294967296-1-1", f"{A}:1"])
def test_text_that_is_no_mariadb_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MariaDB GTIDs"):
        MariadbGtids.parse(text)
