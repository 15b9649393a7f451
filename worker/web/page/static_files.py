"""The page's own files: styles, scripts, the mark. Read once, and named by their content so that they may be kept."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_CACHE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Each file's content and media type, by name."""
    return {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in STATIC.iterdir() if path.suffix in _TYPES}


@cache
def _digest() -> str:
    """Changes with any of the files."""
    return hashlib.sha256(b"\0".join(content for _, (content, _) in sorted(_files().items()))).hexdigest()[:12]


def static_path(name: str) -> str:
    """Where a file of this version is found. `KeyError` for one that does not exist."""
    _ = _files()[name]
    return f"/static/{_digest()}/{name}"


def static_routes() -> APIRouter:
    """The route. Nothing in these files is secret: the login page needs them."""
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{version}/{name}")
    async def show_file(version: str, name: str) -> Response:
        if name not in _files():
            raise HTTPException(404)
        content, media_type = _files()[name]
        # A page of another version may ask a moment after an upgrade: it gets today's file, and must not keep it.
        return Response(content, headers=_CACHE_HEADERS if version == _digest() else None, media_type=media_type)

    return router
