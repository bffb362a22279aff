"""Which requests are answered: those of a browser that was given the token, from this page.

- The token is in the URL that is printed at the start. The first request with it gets a cookie
  (`HttpOnly`, `SameSite=Strict`); any other needs that cookie.
- `Host` must be this machine or the host that was asked for, or else another site's name could be
  pointed at this machine (DNS rebinding).
- A POST must come from this page: its `Origin` is that of the request, and its form has the value
  that pages are made with.
- Pages load and send nothing elsewhere, and run no script but those of `/static/`.
"""

import hmac
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_HOST = ("0.0.0.0", "::")
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # without a referrer, browsers send no Origin either
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Secrets:
    """What a browser must know.

    Attributes:
        token: of the URL, and of the cookie.
        form: of every form.
    """

    def __init__(self, token: str | None = None) -> None:
        """Choose them at random, or take a token."""
        self.token = token or secrets.token_urlsafe(24)
        self.form = secrets.token_urlsafe(16)


class Guard:
    """Refuses requests, with a page that says why, before anything else sees them."""

    def __init__(self, app: ASGIApp, known: Secrets, host: str, port: int):
        """Guard an application.

        Args:
            app: the application.
            known: what a browser must know.
            host: that the server listens on.
            port: the port; browsers share cookies between ports of a machine.
        """
        self._app, self._known, self._port = app, known, port
        self._hosts: Collection[str] = () if host in ANY_HOST else {*LOOPBACK, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
            await send(message)

        answer = self._refusal(scope) or self._entry(scope)
        await (answer or self._app)(scope, receive, with_headers)

    @property
    def cookie(self) -> str:
        """Name of the cookie."""
        return f"samseg-review-{self._port}"

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse another host or origin."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return refused(
                403,
                "This page is at another address",
                "It answers requests to this machine only. Open the URL that `samseg review` "
                "printed; to listen on another address, start it with --host.",
            )
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{host}":
            return refused(
                403,
                "Refused: the request comes from another site",
                "Only the pages of `samseg review` itself can change classes.",
            )
        return None

    def _entry(self, scope: Scope) -> Response | None:
        """Let a browser in that has the token or the cookie; None if the request goes on."""
        query = QueryParams(scope["query_string"])
        if "token" in query and scope["method"] in ("GET", "HEAD"):
            if not _same(query["token"], self._known.token):
                return _without_token("The token in this URL is not the one of this session.")
            rest = [(k, v) for k, v in query.multi_items() if k != "token"]
            path = local_path(scope["path"])
            answer = RedirectResponse(quote(path) + (f"?{urlencode(rest)}" if rest else ""), 303)
            answer.set_cookie(self.cookie, self._known.token, httponly=True, samesite="strict")
            return answer
        if scope["path"].startswith("/static/"):  # files of the package
            return None
        if not _same(_cookie(Headers(scope=scope), self.cookie), self._known.token):
            return _without_token("This browser has not been let in yet.")
        return None


def _without_token(first: str) -> Response:
    return refused(
        403,
        "Open the URL that was printed",
        f"{first} `samseg review` prints a URL that ends with ?token=..., which is new each time "
        "it starts: copy it from the terminal.",
    )


def refused(status: int, title: str, text: str) -> HTMLResponse:
    """Return a plain page that says why a request was refused; no text is of the request."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" '
        f'content="light dark"><title>{title}</title>'
        '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/report.css">'
        f'<header class="wrap"><p class="brand">samseg review</p><h1>{title}</h1>'
        f'<p class="soft">{text}</p></header></html>',
        status,
    )


def local_path(path: str) -> str:
    """Return a path of this server: `//host/` would be read as another one."""
    return "/" + path.replace("\\", "/").lstrip("/")


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _name(host: str) -> str:
    """Return the name in a `Host` header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
