"""Errors of S3 as errors of `cdc.errors`: passing ones are retried, the others wait for an operator.

An answer's own text is never shown: it can hold an access key's id.
"""

from __future__ import annotations

from typing import Any

from cdc.errors import CdcError, SinkRefused, SinkUnavailable, UnsupportedSchema

# Also the answer for a single object of a request that succeeded, which has no status of its own.
_DENIED = "AccessDenied"
MISSING = frozenset({"404", "NoSuchKey"})
PRECONDITION = "PreconditionFailed"
# A single request copies up to 5 GiB; for more, S3 and its likes have these words.
TOO_LARGE = frozenset({"EntityTooLarge", "InvalidRequest"})

# 4xx answers with a passing cause: a token that is renewed, a clock that is set, a slow upload, an upload
# that another process has ended, an object that another process has moved.
_PASSING = frozenset({
    "ExpiredToken", "NoSuchKey", "NoSuchUpload", "RequestTimeTooSkewed", "RequestTimeout",
})  # fmt: skip
_PASSING_STATUS = frozenset({408, 409, 429})

_RIGHTS = "Grant the actions that docs/sinks/parquet.md lists under “Permissions” on {root}."
_CREDENTIALS = "Check the credentials. Run: aws sts get-caller-identity"
_REGION = "Set `region` of the sink to the region of the bucket. Run: aws s3api head-bucket --bucket {bucket}"
_KEY = "Check `encryption_key`, and grant kms:GenerateDataKey and kms:Decrypt on that key."
_REMEDIES = {
    _DENIED: _RIGHTS,
    "403": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "NoSuchBucket": "Create the bucket, or correct `url`. Run: aws s3 mb s3://{bucket}",
    "InvalidBucketName": "Correct the name of the bucket in `url`.",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "KMS.NotFoundException": _KEY,
    "KMS.DisabledException": _KEY,
    "KMS.KMSInvalidStateException": _KEY,
}
_OTHER = "Check `url`, `endpoint` and `region` of the sink, and the server's own log."


def code_of(error: Any) -> str:
    """Return the code of an answer, '' if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def answered(error: Any, operation: str, where: str, root: str) -> CdcError:
    """Return the error of an answer; `root` is the lake's URL."""
    code = code_of(error)
    if code == "KeyTooLongError":
        message = f"{operation}: the escaped table name is too long for an object's key"
        return UnsupportedSchema(message, where=where, remedy="Exclude the table, or rename it.")
    message = f"{operation}: S3 answered {code or 'an error'} to {error.operation_name}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    is_final = code == _DENIED or (300 <= status < 500 and status not in _PASSING_STATUS)
    if code in _PASSING or not is_final:
        return SinkUnavailable(message, where=where, remedy="Delivery is retried automatically.")
    bucket = root.removeprefix("s3://").partition("/")[0]
    return SinkRefused(
        message, where=where, remedy=_REMEDIES.get(code, _OTHER).format(root=root, bucket=bucket)
    )


def failed(error: Any, known: Any, operation: str, where: str) -> CdcError:
    """Return the error of a request that got no complete answer; `known` is botocore's module of errors."""
    message = f"{operation}: the request to S3 failed ({type(error).__name__})"
    passing = (
        known.ConnectionError, known.HTTPClientError, known.IncompleteReadError,
        known.FlexibleChecksumError, known.MetadataRetrievalError, known.CredentialRetrievalError,
    )  # fmt: skip
    if isinstance(error, passing):
        remedy = "Check endpoint and network. Delivery is retried automatically."
        return SinkUnavailable(message, where=where, remedy=remedy)
    return SinkRefused(message, where=where, remedy=_CREDENTIALS)
