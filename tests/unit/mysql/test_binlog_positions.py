from __future__ import annotations

import pytest

from cdc.errors import ConfigError
from cdc_source_mysql.binlog import positions
from cdc_source_mysql.binlog.gtid import GtidSet, MariadbGtids
from cdc_source_mysql.binlog.positions import BinlogPosition

SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    "position",
    [
        BinlogPosition("binlog.000003", 1234),
        BinlogPosition("binlog.000003", 1234, epoch=2),
        BinlogPosition("mysql-bin.changelog.1000003", 2**40 - 1),
        BinlogPosition("binlog.000003", 1234, 0, GtidSet.parse(f"{SERVER}:1-23:blue:1")),
        BinlogPosition("binlog.000003", 1234, 7, MariadbGtids.parse("0-1-5,1-1-7")),
    ],
)
def test_position_comes_back_from_its_text(position: BinlogPosition) -> None:
    text = position.to_position().text
    assert positions.parse(text) == position
    assert positions.to_position(text) == position.to_position()


def test_text_is_what_people_know() -> None:
    position = BinlogPosition("binlog.000003", 1234, 0, GtidSet.parse(f"{SERVER}:1-23"))
    assert position.to_position().text == f"binlog.000003:1234 {SERVER}:1-23"
    assert BinlogPosition("binlog.000001", 99, 2).to_position().text == "2/binlog.000001:99"


def test_order_is_epoch_then_file_then_offset() -> None:
    ordered = [
        BinlogPosition("binlog.000001", 4),
        BinlogPosition("binlog.000001", 2**33),
        BinlogPosition("binlog.000002", 4),
        BinlogPosition("binlog.1000000", 4),
        BinlogPosition("other.000001", 4, epoch=1),
        BinlogPosition("other.000001", 5, epoch=1),
    ]
    orders = [position.to_position() for position in ordered]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


def test_rows_of_a_transaction_order_before_its_end() -> None:
    row = positions.to_position("binlog.000003:1234")
    end = positions.to_position(f"binlog.000003:1500 {SERVER}:1-23")
    assert row < end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "16/B374D848",
        "binlog.000003",
        "binlog.000003:",
        "binlog:1234",
        "binlog.x:1234",
        f"binlog.{2**32}:4",
        f"binlog.000001:{2**40}",
        "binlog.000003:1234 what",
        f"{SERVER}:1-23",
    ],
)
def test_text_that_is_no_position_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"file:offset"):
        positions.parse(text)
