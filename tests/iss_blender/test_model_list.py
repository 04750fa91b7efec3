"""The lists of models without Blender: events in, names, terms, requests."""

import pytest

from iss_blender import jobs
from iss_blender.model_list import (
    ALIGN,
    INSTALL,
    ModelList,
    align_request,
    free_name,
    install_request,
    size_text,
    terms_of,
)
from iss_blender.progress import MODEL_PHASES, JobClock, phases_of

CARD = {"name": "dvr", "title": "DVR", "page": "https://p", "licence": "MIT", "megabytes": 58, "direct": True}


def job(name: str, file: str = "f") -> jobs.Job:
    place = {"location": [0, 0, 0], "mode": "new", "height": 1, "file": file}
    return jobs.Job("j", name, {"scene": place}, {})


def test_the_greeting_and_results_bring_lists() -> None:
    models = ModelList()
    hello = jobs.Hello("1", "cpu", [], {"known": [CARD, "odd", {}], "clips": None})
    assert models.take(jobs.BackendReady(hello)) is None
    assert models.known == [CARD] and models.clips == [] and models.card_of("dvr") == CARD
    bundles = [{"name": "a"}]
    done = jobs.JobFinished(job(INSTALL), {"bundles": bundles, "told": "Installed."}, {})
    assert models.take(done) == bundles and models.told == "Installed."
    assert models.known == [CARD], "a result without that list leaves it"
    assert models.take(jobs.JobFinished(job("generate"), {"bundles": []}, {})) is None
    assert models.told == "Installed."
    models.take(jobs.JobStarted(job(ALIGN)))
    assert models.told == ""
    models.take(jobs.JobCancelled(job(ALIGN)))
    assert "goes on where it stopped" in models.told


def test_a_new_model_is_chosen_once_and_only_in_its_file() -> None:
    models = ModelList()
    done = jobs.JobFinished(job(ALIGN, file="one"), {"choose": "new"}, {})
    models.take(done)
    assert models.take_choice("one") == "new" and models.take_choice("one") == ""
    models.take(done)
    assert models.take_choice("two") == "" and models.take_choice("one") == ""


def test_names_are_plain_and_free() -> None:
    bundles = [{"name": "a-b"}, {"name": "a-b-2"}]
    assert free_name("a b", bundles) == "a-b-3"
    assert free_name("../..", []) == "model" and free_name("ä/ö c.pt", []) == "c.pt"
    assert len(free_name("x" * 200, [])) == 50


@pytest.mark.parametrize(
    ("megabytes", "told"), [(0, "size not known"), (58, "58 MB"), (1710, "1.7 GB"), ("x", "size not known")]
)
def test_sizes_in_words(megabytes: object, told: str) -> None:
    assert size_text({"megabytes": megabytes}) == told


def test_terms_tell_source_licence_and_cost() -> None:
    assert terms_of(CARD) == ["DVR", "From: https://p", "Licence: MIT", "Download: about 58 MB"]
    assert "by hand" in terms_of({**CARD, "direct": False})[-1]


def test_requests_carry_the_licence_as_shown() -> None:
    request = install_request(CARD, online=False)
    assert request.name == INSTALL
    assert request.params == {"name": "dvr", "licence": "MIT", "online": False}
    assert install_request(CARD, online=True, file="x.pt").params["file"] == "x.pt"
    wish = align_request(
        "starter", "new", clip={"known": "c"}, online=True, device="auto", shapes=40, steps=9, licence="MIT"
    )
    assert wish.name == ALIGN and wish.params["clip"] == {"known": "c"} and wish.title == "CLIP for starter"


def test_a_download_is_told_in_megabytes() -> None:
    assert phases_of(ALIGN, {}) == MODEL_PHASES
    clock = JobClock(phases=MODEL_PHASES)
    clock.update({"phase": "download", "step": 12, "total": 605})
    assert clock.describe().startswith("Downloading 12/605 MB")
    clock.update({"phase": "align", "step": 20, "total": 4000})
    assert clock.describe().startswith("Learning how words fit shapes 20/4000")
