"""A small folder with classes that were fitted, and a browser that was let in."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from samseg.output import Output
from samseg.review.application import application
from samseg.review.guard import Secrets
from samseg.review.session import Review
from tests.reviewed import copy_of, fitted_review, make_unsure, session_over

BASE = "http://127.0.0.1:8417"


@dataclass
class Browser:
    """A test client that sends forms as the pages have them."""

    client: TestClient
    review: Review
    secrets: Secrets

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, verb: str, seen: int | None = None, **fields: Any) -> str:
        """Send a form and return the page that it leads to."""
        newest = self.review.refresh().newest
        known = {"form": self.secrets.form, "seen": newest if seen is None else seen, "back": "/"}
        answer = self.client.post(f"/{verb}", data=known | fields, headers={"origin": BASE})
        assert answer.status_code == 200, answer.text
        return answer.text

    def message(self, page: str) -> str:
        return re.search(r'<p class="break">(.*?)</p>', page, re.S)[1]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Review:
    """A session over eight photos, in four classes."""
    return fitted_review(tmp_path_factory.mktemp("fitted"), [f"p{i}.jpg" for i in range(8)])


@pytest.fixture
def output(template: Review, tmp_path: Path) -> Output:
    """A copy of its folder."""
    return copy_of(template, tmp_path / "fitted")


@pytest.fixture
def browse(template: Review, tmp_path: Path) -> Callable[[Output], Browser]:
    """Open a session over such a copy, and let a browser in."""

    def opened(output: Output) -> Browser:
        review, known = session_over(template, output, tmp_path / "pictures"), Secrets()
        client = TestClient(application(review, known, "127.0.0.1", 8417), base_url=BASE)
        client.get(f"/static/review.css?token={known.token}")
        return Browser(client, review, known)

    return opened


@pytest.fixture
def browser(output: Output, browse: Callable[[Output], Browser]) -> Browser:
    return browse(output)


@pytest.fixture
def unsure(browser: Browser) -> Browser:
    """A browser where a third of the masks are not clearly of their class."""
    make_unsure(browser.review)
    return browser
