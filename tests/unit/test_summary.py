import json

from samseg.stages.embed.not_labelled import NotLabelled
from samseg.summary import Summary


def test_a_good_night_ends_with_the_page():
    assert Summary("file:///o", "n", page="file:///o/p.html").lines() == [
        "Page:   /o/p.html",
        "Failed: nothing",
        "Exit 0: every planned image is labelled.",
    ]


def test_failures_are_named_with_their_reasons():
    summary = Summary("file:///o", "n", page="s3://b/p.html")
    summary.add_failures(5, [NotLabelled(f"{i}.jpg", "undecodable", "cut") for i in range(4)])
    summary.incomplete("They have rows.")
    page, failed, code = summary.lines()
    assert page == "Page:   s3://b/p.html"
    assert failed.startswith("Failed: 0.jpg (undecodable: cut), 1.jpg")
    assert failed.endswith(", 2 more, which the page lists")
    assert code == "Exit 1: They have rows."
    record = json.loads(json.dumps(summary.record("label")))
    assert (record["exit"], record["failed"], len(record["failures"])) == (1, 5, 4)


def test_a_stage_without_page_prints_failures_only():
    assert Summary("file:///o", "n").lines() == []
