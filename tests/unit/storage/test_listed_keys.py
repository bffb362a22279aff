"""Listings of Azure and Google Cloud Storage with keys that no client can address."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse
from xml.sax.saxutils import escape

import pytest

from samseg.errors import StorageError
from samseg.storage import open_lake

DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


class Store(BaseHTTPRequestHandler):
    """Answers LIST as both stores do, one page after the other."""

    keys: tuple[str, ...] = ()
    page = 2

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        query = {name: values[0] for name, values in parse_qs(urlparse(self.path).query).items()}
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names: dict[str, bool] = {}
        for key in sorted(k for k in self.keys if k.startswith(prefix)):
            inner = key[len(prefix) :].partition("/") if delimiter else (key, "", "")
            names[prefix + inner[0] + "/" if inner[1] else key] = bool(inner[1])
        start = int(query.get("marker", query.get("continuation-token", "0")))
        end = start + self.page
        page = [*names.items()][start:end]
        after = str(end) if end < len(names) else ""
        payload = (azure if "comp" in query else google)(page, after).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def azure(page, after):
    entries = "".join(
        f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        if folder
        else f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{DATE}</Last-Modified>"
        "<Etag>0x1</Etag><Content-Length>3</Content-Length><Content-Type>image/jpeg</Content-Type>"
        "<BlobType>BlockBlob</BlobType></Properties></Blob>"
        for name, folder in page
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="lake"><Blobs>'
        f"{entries}</Blobs><NextMarker>{after}</NextMarker></EnumerationResults>"
    )


def google(page, after):
    entries = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        if folder
        else f"<Contents><Key>{escape(name)}</Key><ETag>0x1</ETag><Size>3</Size>"
        "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
        for name, folder in page
    )
    more = f"<NextContinuationToken>{after}</NextContinuationToken>" if after else ""
    return f"<ListBucketResult>{entries}{more}</ListBucketResult>"


@pytest.fixture(params=["az", "gs"])
def lake(request, monkeypatch, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "x"}
        account |= {"private_key": "x", "private_key_id": "x"}
        (tmp_path / "account.json").write_text(json.dumps(account))
        for name, value in {
            "GOOGLE_SERVICE_ACCOUNT": str(tmp_path / "account.json"),
            "GOOGLE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield f"{request.param}://lake"
        server.shutdown()


GOOD = ("a.jpg", "b/1.jpg", "c/2.jpg", "c/d/3.jpg", "e.jpg", "f/g/4.jpg", "z ü#?%20.jpg")


@pytest.mark.parametrize(
    ("bad", "skipped", "lost"),
    [
        ((), set(), set()),
        (("c//x.jpg",), {"c/"}, {"c/2.jpg", "c/d/3.jpg"}),
        (("c/d/./x.jpg", "f/g/../x.jpg"), {"c/d/", "f/g/"}, {"c/d/3.jpg", "f/g/4.jpg"}),
        (("f/\n.jpg", "y//", "y//x.jpg"), {"f/", "y/"}, {"f/g/4.jpg"}),
    ],
    ids=["none", "empty name", "dots", "newline"],
)
def test_a_key_that_cannot_be_addressed_skips_its_folder(lake, monkeypatch, bad, skipped, lost):
    monkeypatch.setattr(Store, "keys", (*GOOD, *bad))
    found: dict[str, str] = {}
    keys = [s.key for s in open_lake(lake).list(skipped=found.__setitem__)]
    assert sorted(keys) == sorted({*GOOD} - lost)
    assert {*found} == skipped


def test_a_key_of_the_root_that_cannot_be_addressed(lake, monkeypatch):
    monkeypatch.setattr(Store, "keys", (*GOOD, "//x.jpg"))
    found: dict[str, str] = {}
    assert len([*open_lake(lake).list(skipped=found.__setitem__)]) == len(GOOD)
    assert {*found} == {"/"}
    monkeypatch.setattr(Store, "keys", (*GOOD, "\n.jpg"))
    with pytest.raises(StorageError, match="cannot list"):
        [*open_lake(lake).list()]
