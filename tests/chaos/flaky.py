"""An S3 server in memory that fails a given share of its requests, by seed.

It answers what samseg asks of a store: ListObjectsV2, HEAD, GET with ranges, DeleteObjects, and
PUT with `If-None-Match: *`. Signatures are not checked.
"""

import hashlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

READ_FAULTS = ("busy", "reset", "cut body")
FAULTS = {
    "LIST": (*READ_FAULTS, "cut xml"),
    "GET": READ_FAULTS,
    "HEAD": ("busy", "reset"),
    "PUT": ("busy", "reset", "lost", "lost with 500"),
    "DELETE": ("busy", "reset"),
}
"""Faults by kind of request.

busy: 503. reset: no answer. cut body: half of the announced bytes. cut xml: a whole answer that
holds half a document. lost: the request is carried out, and its answer does not arrive.
"""


@dataclass
class Bucket:
    """Objects by path, and what shall go wrong.

    Attributes:
        objects: contents by `{bucket}/{key}`.
        share: of the requests that fail, 0 to 1.
        only: the faults that occur; empty for all.
        page: number of keys in one answer to LIST.
        seen: number of requests by kind, and of faults by (kind, fault).
        signatures: `Authorization` headers, which are not checked.
    """

    share: float = 0.0
    seed: int = 0
    only: frozenset[str] = frozenset()
    page: int = 1000
    objects: dict[str, bytes] = field(default_factory=dict)
    seen: Counter[Any] = field(default_factory=Counter)
    endpoint: str = ""
    signatures: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._random = random.Random(self.seed)

    def fault(self, kind: str) -> str:
        """Draw the fault of one request; "" for none."""
        with self.lock:
            self.seen[kind] += 1
            faults = [f for f in FAULTS[kind] if not self.only or f in self.only]
            if not faults or self._random.random() >= self.share:
                return ""
            drawn = self._random.choice(faults)
            self.seen[kind, drawn] += 1
            return drawn


@contextmanager
def serving(bucket: Bucket) -> Iterator[Bucket]:
    """Serve a bucket on a port of loopback, and set its `endpoint`."""

    class Handler(_Handler):
        served = bucket

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        bucket.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield bucket
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    served: Bucket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            self._do("LIST", self._listed)
        else:
            self._do("GET", self._found)

    def do_HEAD(self) -> None:
        self._do("HEAD", self._found)

    def do_PUT(self) -> None:
        self._payload = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._do("PUT", self._created)

    def do_POST(self) -> None:
        self._payload = self.rfile.read(int(self.headers["Content-Length"]))
        self._do("DELETE", self._deleted)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _do(self, kind: str, answered: Any) -> None:
        self.served.signatures.add(self.headers["Authorization"] or "")
        fault = self.served.fault(kind)
        if fault == "busy":
            return self._send(503, b"<Error><Code>SlowDown</Code></Error>")
        if fault == "reset":
            return self._reset()
        code, body, headers = answered()
        if fault == "lost":
            return self._reset()
        if fault == "lost with 500":
            return self._send(500, b"<Error><Code>InternalError</Code></Error>")
        if fault == "cut xml":
            body = body[: len(body) // 2]
        cut = len(body) // 2 if fault == "cut body" else None
        self._send(code, body, headers, cut)

    def _send(
        self, code: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self._reset()

    def _reset(self) -> None:
        """Close the connection with a RST in place of what is missing."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _found(self) -> tuple[int, bytes, dict[str, str]]:
        body = self.served.objects.get(self._key)
        if body is None:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        headers = {"ETag": _etag(body), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        asked = self.headers["Range"]
        if not asked:
            return 200, body, headers
        first, last = asked.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last) + 1, len(body)) if first and last else len(body)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        return 206, body[start:end], headers

    def _created(self) -> tuple[int, bytes, dict[str, str]]:
        with self.served.lock:
            if self.headers["If-None-Match"] == "*" and self._key in self.served.objects:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
            self.served.objects[self._key] = self._payload
        return 200, b"", {"ETag": _etag(self._payload)}

    def _deleted(self) -> tuple[int, bytes, dict[str, str]]:
        keys = [e.text or "" for e in ElementTree.fromstring(self._payload).iter() if _is_key(e)]
        for key in keys:
            self.served.objects.pop(f"{self._key.rstrip('/')}/{key}", None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        body = f"<DeleteResult>{gone}</DeleteResult>".encode()
        return 200, body, {"Content-Type": "application/xml"}

    def _listed(self) -> tuple[int, bytes, dict[str, str]]:
        asked = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        after = asked.get("continuation-token") or asked.get("start-after", "")
        root = f"{self._key.rstrip('/')}/"
        contents, folders, last, more = [], {}, "", False
        for path in sorted(p for p in [*self.served.objects] if p.startswith(root + prefix)):
            key = path[len(root) :]
            below = key[len(prefix) :]
            folder = prefix + below.split("/")[0] + "/" if delimiter and "/" in below else ""
            if (folder or key) <= after or folder in folders:
                continue
            if len(contents) + len(folders) == self.served.page:
                more = True
                break
            last = folder or key
            if folder:
                folders[folder] = (
                    f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                )
            else:
                body = self.served.objects[path]
                contents.append(
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
                    "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                    f"<ETag>{escape(_etag(body))}</ETag></Contents>"
                )
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        text = "".join([*contents, *folders.values()])
        truncated = str(more).lower()
        document = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name>'
            f"<IsTruncated>{truncated}</IsTruncated>{token}{text}</ListBucketResult>"
        )
        return 200, document.encode(), {"Content-Type": "application/xml"}


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _is_key(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "Key"
