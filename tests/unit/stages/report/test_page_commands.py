"""The commands that the report page shows."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from samseg import cli
from samseg.readers.decode import DecodePolicy
from samseg.stages.report.stage import report
from samseg.views_sql import views_sql


class Commands(HTMLParser):
    """The texts of `<pre>` in the section of next steps."""

    def __init__(self, page: str):
        super().__init__()
        self.texts: list[str] = []
        self._inside = False
        self.feed(page.split('id="next"')[1])

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._inside = tag == "pre"
        self.texts += [""] * self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def test_the_commands_of_the_page_run(
    small_output: Callable[..., Any], capfd: pytest.CaptureFixture
) -> None:
    """Each as it is shown."""
    made = small_output()
    made.output.storage.put_new(made.output.views_key, views_sql(made.output.uri).encode())
    key = report(made.output, "n1", lambda uris: made.photos.items(), DecodePolicy().decode)
    page = made.output.storage.get(key).decode()
    kinds = []
    for command in Commands(page).texts:
        kinds.append(command.split()[0])
        if kinds[-1] == "samseg":
            with pytest.raises(SystemExit) as ended:
                cli.main(shlex.split(command)[1:])
            assert ended.value.code == 0
            assert re.search("apples|ok|[.]jpg", capfd.readouterr().out)
        elif kinds[-1] == "duckdb":
            _, _, script, _, sql = shlex.split(command)
            connection = duckdb.connect()
            connection.execute(Path(script).read_text())
            assert (0, "apples", 12) in connection.execute(sql).fetchall()
        else:
            code = f"{command}\nprint(len(table))"
            ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert ran.stdout.strip() == str(len(made.class_of)), ran.stderr
    assert kinds == ["samseg"] * 4 + ["duckdb", "import"]
