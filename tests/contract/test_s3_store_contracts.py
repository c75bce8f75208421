"""The contract of stores on S3's protocol, as moto's server speaks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from cdc.errors import CdcError, ConfigError, SinkRefused, SinkUnavailable, UnsupportedSchema
from cdc.lake.s3 import PART_BYTES, S3Limits, S3Place, S3Store
from cdc.lake.store import ABSENT, ObjectStore
from cdc.spi import Severity
from cdc.testing.ports import free_port
from cdc.testing.store_contract import StoreContract
from tests.support.waiting import wait_until

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Bucketed:
    """A bucket of its own for each test."""

    @pytest.fixture(autouse=True)
    def bucket(self, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        self.endpoint, self.name = endpoint, f"{tmp_path.name.replace('_', '-')[:40]}-{id(self)}".lower()
        self.admin = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
        self.admin.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return self.name

    def stored(self) -> list[str]:
        found = self.admin.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [one["Key"] for one in found]


class TestS3StoreWithTheBucketInThePath(Bucketed, StoreContract):
    def make_store(self, place: Path) -> S3Store:
        return S3Store(S3Place(self.name, "lakes/one", self.endpoint, REGION, "path"))

    def test_objects_lie_below_the_prefix_and_what_lies_beside_it_is_another_stores(
        self, store: ObjectStore
    ) -> None:
        self.admin.put_object(Bucket=self.name, Key="lakes/one-more/a", Body=b"")
        store.put("a", b"")
        assert self.stored() == ["lakes/one-more/a", "lakes/one/a"]
        assert list(store.keys("")) == ["a"]
        assert store.path("a") == f"s3://{self.name}/lakes/one/a"

    def test_a_large_object_is_sent_in_parts_while_it_is_written(
        self, place: Path, store: ObjectStore
    ) -> None:
        writer = store.write("t/a")
        writer.file.write(b"a" * (2 * PART_BYTES + 1))
        uploads = self.admin.list_multipart_uploads(Bucket=self.name)["Uploads"]
        upload = {"Bucket": self.name, "Key": "lakes/one/t/a", "UploadId": uploads[0]["UploadId"]}

        def sizes() -> list[int]:
            return [part["Size"] for part in self.admin.list_parts(**upload).get("Parts", [])]

        wait_until(lambda: sizes() == [PART_BYTES, PART_BYTES], "two parts to be sent")
        assert not store.has("t/a")
        writer.file.write(b"b")
        assert writer.close() == 2 * PART_BYTES + 2
        with store.read("t/a") as file:
            file.seek(2 * PART_BYTES)
            assert file.read() == b"ab"

    def test_an_abandoned_upload_keeps_no_parts(self, store: ObjectStore) -> None:
        writer = store.write("t/a")
        writer.file.write(b"a" * PART_BYTES)
        writer.abandon()
        writer.abandon()
        assert "Uploads" not in self.admin.list_multipart_uploads(Bucket=self.name)

    def test_deleting_a_prefix_ends_the_uploads_of_a_process_that_was_killed(
        self, store: ObjectStore
    ) -> None:
        for key in ("staging/0", "t/0"):
            store.write(key).file.write(b"a" * PART_BYTES)
        store.delete_all("staging/")
        uploads = self.admin.list_multipart_uploads(Bucket=self.name)["Uploads"]
        assert [upload["Key"] for upload in uploads] == ["lakes/one/t/0"]

    def test_parquet_is_written_and_read_through_it(self, store: ObjectStore) -> None:
        table = pa.table({"n": pa.array(range(2_000_000), pa.int64())})
        writer = store.write("t/a.parquet")
        with pq.ParquetWriter(writer.file, table.schema, compression="none", use_dictionary=False) as encoder:
            encoder.write_table(table, row_group_size=500_000)
        assert writer.close() > 2 * PART_BYTES
        with store.read("t/a.parquet") as source, pq.ParquetFile(source) as file:
            assert file.read_row_group(3).column("n").to_pylist() == list(range(1_500_000, 2_000_000))

    def test_more_objects_than_one_request_takes_are_listed_and_deleted(self) -> None:
        store = S3Store(S3Place(self.name, "", self.endpoint, REGION, "path"), S3Limits(keys=2))
        keys = [f"t/{number}/x" for number in range(5)]
        for key in keys:
            store.put(key, b"")
        assert list(store.keys("t/")) == keys
        assert store.children("t/") == ["0", "1", "2", "3", "4"]
        store.delete_all("t/")
        assert self.stored() == []

    def test_a_write_whose_answer_was_lost_counts_when_it_is_repeated(self, store: S3Store) -> None:
        lost: list[Any] = []

        def lose(response: Any, **_: Any) -> int | None:
            if lost or response is None:
                return None
            lost.append(response)
            return 0

        store._client.meta.events.register_first("needs-retry.s3.PutObject", lose)
        assert store.put("a", b"one", over=ABSENT)
        assert lost
        assert store.put("a", b"one", over=ABSENT) is None

    def test_a_check_of_a_good_bucket_is_ok_and_leaves_no_object(self, store: ObjectStore) -> None:
        assert store.check("docs").severity is Severity.OK
        assert self.stored() == []

    @pytest.mark.parametrize("condition", ["If-Match", "If-None-Match"])
    def test_a_check_refuses_a_server_that_ignores_conditions(self, store: S3Store, condition: str) -> None:
        def forget(request: Any, **_: Any) -> None:
            del request.headers[condition]

        store._client.meta.events.register("before-sign.s3.PutObject", forget)
        found = store.check("docs")
        assert (found.severity, found.code) == (Severity.ERROR, "lake-conditions")
        assert f"ignores {condition}: two daemons" in found.message
        assert self.stored() == []

    def test_a_check_names_the_request_that_is_denied_and_the_permissions(self, store: S3Store) -> None:
        def deny(**_: Any) -> None:
            answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "CopyObject")

        store._client.meta.events.register("before-call.s3.CopyObject", deny)
        found = store.check("docs")
        assert (found.severity, found.code) == (Severity.ERROR, "lake-bucket")
        assert "S3 answered AccessDenied to CopyObject" in found.message
        assert f"s3://{self.name}/lakes/one" in found.fix
        assert self.stored() == []

    @pytest.mark.parametrize(
        ("encryption", "key"), [("AES256", ""), ("aws:kms", ""), ("aws:kms", "alias/lake")]
    )
    def test_every_object_is_encrypted_as_the_options_say(self, encryption: str, key: str) -> None:
        place = S3Place(self.name, "", self.endpoint, REGION, "path", encryption, key)
        store = S3Store(place)
        store.put("put", b"1", over=ABSENT)
        store.copy("put", "copied")
        for name, size in (("small", 1), ("in-parts", PART_BYTES + 1)):
            writer = store.write(name)
            writer.file.write(b"a" * size)
            writer.close()
        for name in ("put", "copied", "small", "in-parts"):
            found = self.admin.head_object(Bucket=self.name, Key=name)
            assert found["ServerSideEncryption"] == encryption
            assert found.get("SSEKMSKeyId", "").endswith(key)

    def test_a_bucket_that_does_not_exist_is_refused_by_name(self) -> None:
        store = S3Store(S3Place("absent-bucket", "", self.endpoint, REGION, "path"))
        found = store.check("docs")
        assert found.severity is Severity.ERROR
        assert "s3://absent-bucket" in found.message
        assert "NoSuchBucket" in found.message
        assert found.fix.endswith("Run: aws s3 mb s3://absent-bucket")
        with (
            pytest.raises(SinkRefused, match="reading: S3 answered NoSuchBucket to GetObject"),
            store.guard("reading", "a"),
        ):
            store.get("a")

    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("AccessDenied", 403, SinkRefused),
            ("AccessDenied", 0, SinkRefused),
            ("PermanentRedirect", 301, SinkRefused),
            ("InternalError", 0, SinkUnavailable),
            ("ExpiredToken", 400, SinkUnavailable),
            ("ConditionalRequestConflict", 409, SinkUnavailable),
            ("SlowDown", 503, SinkUnavailable),
            ("KeyTooLongError", 400, UnsupportedSchema),
        ],
    )
    def test_an_answer_is_final_or_passing(
        self, store: ObjectStore, code: str, status: int, kind: type[CdcError]
    ) -> None:
        answer = {
            "Error": {"Code": code, "Message": "secret"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        with pytest.raises(kind) as caught, store.guard("writing", "a"):
            raise ClientError(answer, "PutObject")
        assert caught.value.where == store.path("a")
        assert caught.value.remedy
        assert "secret" not in str(caught.value)

    def test_a_server_that_does_not_answer_is_unavailable(self) -> None:
        store = S3Store(S3Place(self.name, "", f"http://127.0.0.1:{free_port('127.0.0.1')}", REGION, "path"))
        with (
            pytest.raises(SinkUnavailable, match=r"reading: .*EndpointConnectionError"),
            store.guard("reading"),
        ):
            store.get("a")

    def test_missing_credentials_are_refused(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(place))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        store = self.make_store(place)
        with pytest.raises(SinkRefused, match="NoCredentialsError"), store.guard("reading"):
            store.get("a")

    def test_a_wrong_endpoint_is_an_error_of_the_configuration(self) -> None:
        with pytest.raises(ConfigError, match="cannot be configured"):
            S3Store(S3Place(self.name, "", "not a url", REGION))

    def test_without_boto3_the_error_names_the_command_that_installs_it(
        self, monkeypatch: pytest.MonkeyPatch, place: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "boto3.session", None)
        with pytest.raises(CdcError, match=r"Run: .*install.*boto3"):
            self.make_store(place)


@pytest.mark.variant(0)
class TestS3StoreWithTheBucketInTheHostName(Bucketed, StoreContract):
    """The server stands as the proxy of a host that no name server knows."""

    @pytest.fixture(autouse=True)
    def proxy(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setenv("HTTP_PROXY", self.endpoint)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        self.hosts: list[str] = []
        return self.hosts

    def make_store(self, place: Path) -> S3Store:
        store = S3Store(S3Place(self.name, "", f"http://s3.{REGION}.amazonaws.com", REGION, "virtual"))
        store._client.meta.events.register(
            "before-send.s3", lambda request, **_: self.hosts.append(urlsplit(request.url).netloc)
        )
        return store

    def test_requests_name_the_bucket_in_the_host(self, store: ObjectStore) -> None:
        store.put("a", b"one")
        assert store.has("a")
        assert set(self.hosts) == {f"{self.name}.s3.{REGION}.amazonaws.com"}
        assert self.stored() == ["a"]
