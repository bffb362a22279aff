import json
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from samseg.errors import one_line
from samseg.redaction import holds_credentials, redact

SECRETS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=8, max_size=60)
"""Base64 (`/`, `+`, `=`), quotes, spaces and what else prints."""

IN_URLS = {
    "password": "cannot open s3://AKIAEXAMPLE:{}@bucket/photos: denied",
    "password in quotes": "PermissionError('s3://AKIAEXAMPLE:{}@bucket/photos')",
    "password of a chain": "tar://a.jpg::https://user:{}@host/x.tar",
}
IN_STRINGS = {
    "AccountKey": "DefaultEndpointsProtocol=https;AccountName=n;AccountKey={};EndpointSuffix=x",
    "at the end": "AccountName=n;AccountKey={}",
    "SAS": "BlobEndpoint=https://n.blob.core.windows.net;SharedAccessSignature={}",
    "JSON": '{{"aws_secret_access_key": "{}"}}',
    "header": "Authorization: AWS4 Credential=n, Signature={}",
}
QUERIES = {
    "AWS": "GET https://host/a?X-Amz-Credential=n&X-Amz-Signature={}&X-Amz-Date=1 failed",
    "Azure": "https://n.blob.core.windows.net/c/a?sv=1&sig={}",
    "one value": "see 'https://host/a?token={}', line 3",
    "no scheme": "GET /a?X-Amz-Signature={} HTTP/1.1",
}


@pytest.mark.parametrize("text", IN_URLS.values(), ids=IN_URLS)
@given(secret=SECRETS)
@example(secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
@example(secret="it's a secret / of @ words")
def test_a_password_of_any_characters_is_removed(text, secret):
    # a port has digits only, and a second URL or a second colon is not distinguished from a member
    assume(not secret[:1].isdigit() and not secret.startswith(("/", ":")) and "://" not in secret)
    found = redact(text.format(secret))
    assert secret not in found
    assert "bucket/photos" in found or "host/x.tar" in found


@pytest.mark.parametrize("text", IN_STRINGS.values(), ids=IN_STRINGS)
@given(secret=SECRETS)
@example(
    secret="Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
def test_a_value_with_the_name_of_a_secret_is_removed(text, secret):
    assume(";" not in secret)  # ends a value in a connection string
    if '"{}"' in text:
        assume('"' not in secret)  # would be escaped
    assert secret not in redact(text.format(secret))


@pytest.mark.parametrize("text", QUERIES.values(), ids=QUERIES)
@given(secret=SECRETS)
def test_a_signature_is_removed_however_it_is_encoded(text, secret):
    assume(secret.strip(" '\"()[]{}<>,;:.") == secret)
    encoded = quote(secret, safe="/")
    assert encoded not in redact(text.format(encoded))
    if "&X-Amz-Date" in text:  # the end of a value with spaces is known if another one follows
        assume(not {"?", "#"} & set(secret))
        assert secret not in redact(text.format(secret))


@given(secret=SECRETS)
def test_secrets_of_the_environment_are_removed_wherever_they_stand(secret):
    assume(len(secret) >= 12)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_SECRET_ACCESS_KEY", secret)
        for written in (secret, repr(secret), json.dumps(secret), quote(secret, safe="")):
            assert secret not in redact(f"<Signing {written}>")
            assert quote(secret, safe="") not in redact(f"<Signing {written}>")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/x",
        "what? no url",
        "http://localhost:9000/bucket/a@2x.jpg: 404",
        "https://host: connection refused",
        "s3://bucket/what?.jpg",
        "file:///data/a:b/what?x=1@2x.jpg",
        "tar://a:b@2x.jpg::s3://bucket/x.tar",
        "abfs://container@account.dfs.core.windows.net/x",
        "password authentication failed",
        "unexpected token: x",
        "line one\nsee me@example.com",
    ],
)
def test_what_is_no_credential_stays(text):
    assert redact(text) == text
    assert not holds_credentials(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see https://host/a/b?X-Amz-Signature=abc&x=1 now", "see https://host/a/b now"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("https://token@host/x", "https://host/x"),
        ('{"uri":"https://h/p?x=1","b":2}', '{"uri":"https://h/p","b":2}'),
    ],
)
def test_what_stands_around_a_credential_stays(text, wanted):
    assert redact(text) == wanted


@pytest.mark.parametrize(
    ("uri", "refused"),
    [
        ("s3://AKIA:secret@bucket/x", True),
        ("s3://AKIA:se/cret@bucket/x", True),
        ("https://token@host/x", True),
        ("zip://*.jpg::https://u:p@host/x.zip", True),
        ("https://host/x?X-Amz-Algorithm=A&X-Amz-Signature=b", True),
        ("https://n.blob.core.windows.net/c/x?sv=1&se=2&sig=b", True),
        ("https://storage.googleapis.com/b/x?GoogleAccessId=a&Signature=b", True),
        ("https://host/x?access_token=a", True),
        ("https://host/x?download=true", False),
        ("s3://bucket/x#1?y", False),
        ("/data/u:p@host?sig=1", False),
    ],
)
def test_what_a_config_may_not_hold(uri, refused):
    assert holds_credentials(uri) == refused


def test_a_line_is_redacted_before_it_is_cut():
    text = one_line(ValueError("x" * 280 + " s3://key:secret/secret@bucket"))
    assert "secret" not in text and len(text) <= 300
