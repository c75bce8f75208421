"""Options of a sink whose lake may be in a bucket: `url: s3://bucket/prefix`, and how to reach it."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cdc.errors import ConfigError
from cdc.lake.s3 import S3Place

SCHEME = "s3"
# Schemes by which other tools mean S3.
OTHER_SCHEMES = ("s3a", "s3n")
_FIELDS = ("endpoint", "region", "addressing", "encryption", "encryption_key")


class S3Options(BaseModel):
    """The options that say how a bucket is reached. Credentials are no option: boto3 finds them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    endpoint: str | None = Field(
        default=None,
        description="URL of a server that speaks S3's protocol. Default: AWS, or boto3's setting.",
    )
    region: str | None = Field(default=None, description="Region of the bucket. Default: boto3's setting.")
    addressing: Literal["auto", "path", "virtual"] = Field(
        default="auto", description="Where requests name the bucket: in the path, or in the host's name."
    )
    encryption: Literal["bucket", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        default="bucket",
        description="Server-side encryption: the bucket's own setting, or one of S3's kinds.",
    )
    encryption_key: str | None = Field(
        default=None, description="Id, ARN or alias of the KMS key. Default: the account's key for S3."
    )

    @property
    def is_bucket(self) -> bool:
        return urlsplit(self.url).scheme == SCHEME

    @property
    def place(self) -> S3Place:
        """The bucket and prefix of an s3:// URL."""
        bucket, prefix = bucket_and_prefix(self.url)
        return S3Place(
            bucket,
            prefix,
            self.endpoint,
            self.region,
            self.addressing,
            "" if self.encryption == "bucket" else self.encryption,
            self.encryption_key or "",
        )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.is_bucket:
            set_here = [name for name in _FIELDS if name in self.model_fields_set]
            if set_here:
                remedy = f"Remove {set_here[0]}, or set url to s3://BUCKET/PREFIX."
                raise ConfigError("this option is for a lake on S3", where=set_here[0], remedy=remedy)
            return self
        bucket_and_prefix(self.url)
        if self.encryption_key and not self.encryption.startswith("aws:kms"):
            message = "a key of KMS needs an encryption with KMS"
            raise ConfigError(message, where="encryption_key", remedy="Set encryption: aws:kms")
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in {"http", "https"}:
            message = "the endpoint must be a URL that begins with http:// or https://"
            raise ConfigError(message, where="endpoint", remedy="Write endpoint: https://HOST:PORT")
        return self


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Return the parts of `s3://bucket/prefix`, the prefix without a slash at its ends.

    Raises:
        ConfigError: the URL has another form.
    """
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    is_plain = parts.netloc and not (
        parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc
    )
    if not is_plain or any(part in {"", ".", ".."} for part in prefix.split("/") if prefix):
        message = "the url must be a bucket and a prefix; it has no user, port, parameters or empty parts"
        raise ConfigError(message, where="url", remedy="Write url: s3://BUCKET/PREFIX")
    return parts.netloc, prefix
