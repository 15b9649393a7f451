"""`/docs`: the API's description to read and to try, behind the token; nothing of it comes from another host."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from worker.web.api.access import TOKEN_VARIABLE, TokenCheck
from worker.web.json_answer import JsonAnswer
from worker.web.page.page import HEADERS
from worker.web.page.rendering import environment
from worker.web.page.static_files import static_path

PATH: Final = "/docs"
_DEEPEST: Final = 6
_ASK: Final = {"WWW-Authenticate": 'Basic realm="cartbridge: any name, and the API token as password", charset="UTF-8"'}


def docs_routes(check: TokenCheck) -> APIRouter:
    """The routes. A browser asks for the token as the password of a name that does not matter.

    The API itself takes bearers alone: what a browser sends by itself would let any site act through it.
    """
    router = APIRouter(include_in_schema=False)
    template = environment().get_template("docs.html")

    def admit(request: Request) -> None:
        header = request.headers.get("authorization", "")
        if not header:  # a browser's first try, which guesses nothing
            asked = (
                f"Give any name, and as the password the value of {TOKEN_VARIABLE}. The API is closed until it is set."
            )
            raise HTTPException(401, asked, headers=_ASK)
        try:
            check(request, _credentials(header))
        except HTTPException as refusal:
            if refusal.status_code == 401:
                raise HTTPException(401, refusal.detail, headers=_ASK) from refusal
            raise

    @router.get(PATH)
    def show_docs(request: Request) -> Response:
        admit(request)
        document = request.app.openapi()
        body = template.render(
            title="API",
            version=document["info"]["version"],
            description=document["info"].get("description", ""),
            operations=list(_operations(document, document["paths"])),
            events=list(_operations(document, document.get("webhooks", {}))),
            static=static_path,
        )
        return HTMLResponse(body, headers=HEADERS)

    @router.get("/openapi.json")
    def show_openapi(request: Request) -> Response:
        admit(request)
        return JsonAnswer(request.app.openapi())

    return router


def _credentials(header: str) -> HTTPAuthorizationCredentials | None:
    """The token, from a bearer or from the password of a browser."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            # A token is checked as servers decode headers: each byte a letter.
            value = base64.b64decode(value.strip(), validate=True).decode("latin-1").partition(":")[2]
        except (binascii.Error, ValueError):
            return None
    elif scheme.lower() != "bearer":
        return None
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=value)


def _operations(document: Mapping[str, Any], paths: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each operation as the template shows it."""
    for path, methods in paths.items():
        for method, found in methods.items():
            content = found.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("schema")
            yield {
                "id": f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
                "method": method.upper(),
                "path": path,
                "summary": found.get("description") or found.get("summary", ""),
                "parameters": found.get("parameters", []),
                "body": None if body is None else _pretty(_sketch(document, body)),
                "body_example": None if body is None else _pretty(_required(document, body)),
                "takes_other_bodies": bool(content) and body is None,
                "answers": [
                    (status, answer.get("description", ""), _answer(document, answer))
                    for status, answer in sorted(found.get("responses", {}).items())
                ],
            }


def _answer(document: Mapping[str, Any], answer: Mapping[str, Any]) -> str | None:
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    return _pretty(_sketch(document, schema)) if schema else None


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def _sketch(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """What a value of the schema looks like: in the place of each value, what it is."""
    schema = _resolved(document, schema)
    if depth > _DEEPEST:
        return "…"
    if "anyOf" in schema:
        kinds = [_sketch(document, each, depth) for each in schema["anyOf"]]
        whole = next((kind for kind in kinds if not isinstance(kind, str)), None)
        return " or ".join(kinds) if whole is None else whole
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return [_sketch(document, schema.get("items", {}), depth + 1)]
    if "properties" in schema:
        return {name: _sketch(document, each, depth + 1) for name, each in schema["properties"].items()}
    return str(schema.get("format") or schema.get("const") or schema.get("type") or "anything")


def _required(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """The least that the body must hold; texts are empty."""
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        return [_required(document, schema["items"])]
    found = schema.get("properties", {})
    least = {name: _required(document, found[name]) for name in schema.get("required", ())}
    return least if found else ""
