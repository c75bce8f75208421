"""The operator's page: files of the package, which ask for nothing from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from cdc.http.guard import refusal

PREFIX = "/page"
# Nothing of another origin, no script or style inside the document, no frame around it: neither a name in the
# status nor another site can have the browser run or send anything.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}


@cache
def assets() -> Mapping[str, tuple[bytes, str, str]]:
    """Return the content, the media type and the tag of each file, by its name."""
    found = {}
    for one in files("cdc.http").joinpath("assets").iterdir():
        kind = _KINDS.get(one.name.rpartition(".")[2])
        if kind is not None:
            content = one.read_bytes()
            found[one.name] = (content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return found


def page(request: Request) -> Response:
    """Answer with a file of the page, with `index.html` at `/`. Browsers ask if theirs is the newest."""
    found = assets().get(request.path_params.get("name", "index.html"))
    if found is None:
        return refusal(404, "HttpError", "the page has no such file", "Open / instead.")
    content, kind, tag = found
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "ETag": tag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)
