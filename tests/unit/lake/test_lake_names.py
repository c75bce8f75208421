"""Names in the lake: reversible, inside of it, and sorted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import ConfigError
from cdc.lake.layout import (
    Partition,
    partition_folder,
    partition_keys,
    partition_prefix,
    range_name,
    table_folder,
    table_of,
)
from cdc.lake.s3 import S3Place
from cdc.model import TableId
from cdc.testing.events import table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
OFFSETS = st.integers(0, 2**63 - 1)


@given(NAMES, NAMES)
def test_a_folder_name_gives_its_table_back(schema: str, name: str) -> None:
    assert table_of(table_folder(TableId(schema, name))) == TableId(schema, name)


@given(NAMES, NAMES)
def test_a_folder_name_stays_inside_and_in_sight(schema: str, name: str) -> None:
    folder = table_folder(TableId(schema, name))
    assert not set(folder) & set("/\\*?[]{}'\"=: \n\t\0")
    assert folder[0] not in "._"
    assert folder.count(".") == 1


def test_a_usual_name_is_left_as_it_is() -> None:
    assert table_folder(TableId("public", "order_lines")) == "public.order_lines"
    assert table_folder(TableId("public", "Größe")) == "public.Größe"


def test_awkward_names_are_percent_encoded() -> None:
    assert table_folder(TableId("..", "a/b")) == "%2E%2E.a%2Fb"
    assert table_folder(TableId("_cdc", "_x")) == "%5Fcdc.%5Fx"


@given(st.tuples(OFFSETS, OFFSETS), st.tuples(OFFSETS, OFFSETS))
def test_range_names_sort_as_their_ranges(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (range_name(*one) < range_name(*other)) == (one < other)


@pytest.mark.parametrize(
    ("partition", "folder"),
    [
        (Partition.NONE, ""),
        (Partition.MONTH, "month=2026-11"),
        (Partition.DAY, "dt=2026-11-23"),
        (Partition.HOUR, "dt=2026-11-23/hour=23"),
    ],
)
def test_a_partition_is_named_by_the_commit_time_in_utc(partition: Partition, folder: str) -> None:
    moment = datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert partition_folder(partition_keys(partition, ""), moment) == folder


def test_years_below_1000_keep_four_digits() -> None:
    assert partition_folder(("dt",), datetime(99, 1, 2, tzinfo=UTC)) == "dt=0099-01-02"


def test_rows_without_commit_time_have_the_partition_that_readers_take_for_null() -> None:
    assert partition_folder(("dt",), None) == "dt=__HIVE_DEFAULT_PARTITION__"


def test_a_table_with_a_column_like_the_partition_gets_another_key() -> None:
    assert partition_prefix(table("public.t", {"id": pa.int64(), "DT": pa.string()})) == "cdc_"
    assert partition_prefix(table("public.t", {"id": pa.int64()})) == ""
    assert partition_keys(Partition.HOUR, "cdc_") == ("cdc_dt", "cdc_hour")


PLACES = "Use a local path, a file:// URL, or s3://BUCKET/PREFIX."
NO_BUCKET = (
    "the url must be a bucket and a prefix; it has no user, port, parameters or empty parts."
    " Write url: s3://BUCKET/PREFIX"
)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket", f"url: a lake must be a folder of this machine, or in a bucket. {PLACES}"),
        ("file://elsewhere/x", f"url: a lake must be a folder of this machine, or in a bucket. {PLACES}"),
        ("", f"url: the lake's path is empty. {PLACES}"),
        ("s3a://b/p", "url: s3a:// is another tool's form of the URL. Write s3://b/p"),
        *(
            (url, f"url: {NO_BUCKET}")
            for url in ("s3://", "s3://b/a//c", "s3://k:s@b/p", "s3://b/p?x=1", "s3://b/../c")
        ),
    ],
)
def test_a_url_of_another_form_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetOptions(url=url)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", S3Place("bucket")),
        ("s3://bucket/", S3Place("bucket")),
        ("s3://bucket/a/b c%20/", S3Place("bucket", "a/b c%20")),
    ],
)
def test_a_bucket_and_the_prefix_are_taken_as_they_are_written(url: str, place: S3Place) -> None:
    options = ParquetOptions(url=url)
    assert options.place == place
    assert ParquetSink.from_url(url).options == {"url": url}


def test_two_spellings_of_a_prefix_are_one_place() -> None:
    assert ParquetOptions(url="s3://b/p/").places() == ParquetOptions(url="s3://b/p").places()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"url": "./lake", "region": "eu-west-1"},
            "region: this option is for a lake on S3. Remove region, or set",
        ),
        (
            {"url": "s3://b", "encryption_key": "k"},
            "encryption_key: a key of KMS needs an encryption with KMS",
        ),
        ({"url": "s3://b", "endpoint": "host:9000"}, "endpoint: the endpoint must be a URL that begins with"),
    ],
)
def test_options_of_a_bucket_that_do_not_agree_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetOptions(**options)
    assert str(caught.value).startswith(message)


def test_encryption_is_the_buckets_unless_it_is_set() -> None:
    assert ParquetOptions(url="s3://b").place.encryption == ""
    chosen = ParquetOptions(url="s3://b", encryption="aws:kms", encryption_key="alias/lake").place
    assert (chosen.encryption, chosen.encryption_key) == ("aws:kms", "alias/lake")


def test_a_file_url_is_its_path() -> None:
    assert str(ParquetOptions(url="file:///var/my%20lake").root) == "/var/my lake"
    assert str(ParquetOptions(url="/var/my%20lake").root) == "/var/my%20lake"
