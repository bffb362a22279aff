"""Nobody but the browser that was given the token sees or changes anything."""

import pytest
from starlette.testclient import TestClient

BASE = "http://127.0.0.1:8417"
PATHS = ("/", "/classes/0", "/queue", "/map", "/history", "/crops/0/x", "/photos/x", "/nothing")


@pytest.fixture
def stranger(browser):
    """A browser that was not let in."""
    return TestClient(browser.client.app, base_url=BASE)


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_shown(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 403 and "prints a URL that ends with ?token=" in answer.text
    assert stranger.get(f"{path}?token=wrong").status_code == 403
    assert stranger.get(f"{path}?token=").status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_token_becomes_a_cookie_and_leaves_the_address(browser, stranger):
    answer = stranger.get(f"/queue?token={browser.secrets.token}&class=1", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/queue?class=1"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert stranger.get("/queue").status_code == 200


def test_the_address_after_the_token_is_of_this_server(browser, stranger):
    answer = stranger.get(
        f"{BASE}//evil.example/?token={browser.secrets.token}", follow_redirects=False
    )
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("cookie", ["x", "", 'samseg-review-8417="', "samseg-review-8417=x\u00e9"])
def test_broken_cookies_are_no_cookies(stranger, cookie):
    answer = stranger.get("/", headers={"cookie": cookie.encode()})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8417", "", "[::2]:1"])
def test_names_of_other_sites_are_refused(browser, host):
    answer = browser.client.get("/", headers={"host": host})
    assert answer.status_code == 403 and "at another address" in answer.text


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:8417", "[::1]:8417", "LOCALHOST"])
def test_this_machine_has_several_names_and_tunnels_other_ports(browser, host):
    assert browser.client.get("/static/review.css", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:8417", "http://127.0.0.1:1"]
)
def test_forms_of_another_origin_are_refused(browser, origin):
    form = {"form": browser.secrets.form, "seen": 0, "class": 0, "name": "x"}
    headers = {} if origin is None else {"origin": origin}
    answer = browser.client.post("/name", data=form, headers=headers)
    assert answer.status_code == 403 and "another site" in answer.text
    assert browser.review.refresh().newest == 0


@pytest.mark.parametrize("value", ["", "wrong", "w\u00e9"])
def test_a_form_needs_the_value_of_its_page(browser, value):
    form = {"form": value, "seen": 0, "class": 0, "name": "x"}
    answer = browser.client.post("/name", data=form, headers={"origin": BASE})
    assert answer.status_code == 403 and "earlier session" in answer.text
    assert browser.review.refresh().newest == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"name=%ff&form=x", 400), (b"\xff\xfe", 400), (b"a=1&" * 3000, 400), (b"x" * 1100000, 413)],
    ids=["no utf-8", "no text", "many fields", "large"],
)
def test_what_is_no_form_is_refused(browser, body, status):
    headers = {"origin": BASE, "content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/name", content=body, headers=headers).status_code == status


def test_every_answer_forbids_scripts_and_frames_of_others(browser, stranger):
    answers = [browser.client.get(path) for path in (*PATHS, "/static/review.js")]
    for answer in [*answers, stranger.get("/"), browser.client.get("/", headers={"host": "x"})]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert answers[0].headers["cache-control"] == "no-store"


def test_pages_have_no_inline_script_or_style(browser):
    for path in ("/", "/classes/0", "/queue", "/map", "/night", "/history"):
        page = browser.get(path)
        assert " style=" not in page and "<style" not in page and " onclick" not in page
        assert page.count("<script") == 1 and '<script src="/static/review.js" defer>' in page


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/x", "/\\evil.example"])
def test_a_form_leads_back_to_this_server(browser, back):
    form = {"form": browser.secrets.form, "seen": 0, "class": 0, "name": "x", "back": back}
    answer = browser.client.post(
        "/name", data=form, headers={"origin": BASE}, follow_redirects=False
    )
    location = answer.headers["location"]
    assert location.startswith("/") and not location.startswith(("//", "/\\"))


def test_edits_are_made_by_forms_only(browser):
    assert browser.client.get("/name?class=0&name=x").status_code in (404, 405)
    assert browser.client.delete("/name", headers={"origin": BASE}).status_code in (404, 405)
    assert browser.review.refresh().newest == 0
