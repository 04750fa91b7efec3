"""The models as the add-on knows them: installed bundles, public checkpoints and CLIPs, and jobs about them.

The backend tells the lists in its greeting and after each change. Needs no bpy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import jobs
from .job_requests import JobRequest, Place
from .protocol import Fields

LIST, INSTALL, IMPORT, REMOVE, ALIGN = "models", "install_model", "import_model", "remove_model", "align"
MODEL_JOBS = (LIST, INSTALL, IMPORT, REMOVE, ALIGN)
KINDS = (
    ("dvr", "DVR", "Differentiable volumetric rendering, on ShapeNet"),
    ("iss", "ISS", "Official checkpoint of the paper, with mapper and CLIP"),
    ("imnet", "IM-NET", "Shapes without colour"),
    ("ss3d", "SS3D", "Trained on photographs"),
    ("get3d", "GET3D", "NVIDIA's generator"),
)
"""What a checkpoint file can be: the backend's word, a title, a description."""
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass
class ModelList:
    """What the preferences show. Only the session changes it."""

    known: list[Fields] = field(default_factory=list)
    clips: list[Fields] = field(default_factory=list)
    told: str = ""
    """What the last job about models did, as a sentence."""
    choice: tuple[str, str] | None = None
    """A new model that the scene shall use, and the token of the file that asked for it."""

    def take(self, event: jobs.ClientEvent) -> list[Fields] | None:
        """Note what an event tells of models; the installed ones where it lists them."""
        if isinstance(event, jobs.BackendReady):
            self._lists(event.hello.fields)
        elif isinstance(event, jobs.JobStarted) and event.job.name in MODEL_JOBS:
            self.told = ""
        elif isinstance(event, jobs.JobCancelled) and event.job.name in MODEL_JOBS:
            self.told = "Stopped. Asked for again, it goes on where it stopped."
        elif isinstance(event, jobs.JobFinished) and event.job.name in MODEL_JOBS:
            self._lists(event.fields)
            self.told = str(event.fields.get("told", ""))
            if event.fields.get("choose"):
                self.choice = str(event.fields["choose"]), Place.from_params(event.job.params).file
            return _cards(event.fields.get("bundles"))
        return None

    def take_choice(self, file: str) -> str:
        """The model to use from now on, told once; "" where there is none or another file is open."""
        choice, self.choice = self.choice, None
        return choice[0] if choice is not None and choice[1] == file else ""

    def card_of(self, name: str) -> Fields | None:
        """A known checkpoint or CLIP."""
        return next((card for card in (*self.clips, *self.known) if card.get("name") == name), None)

    def _lists(self, fields: Fields) -> None:
        self.known = _cards(fields.get("known")) or self.known
        self.clips = _cards(fields.get("clips")) or self.clips


def free_name(wanted: str, bundles: Sequence[Fields]) -> str:
    """A name for a new model, made of `wanted`, that no installed one has."""
    plain = _UNFIT.sub("-", wanted).strip("-._") or "model"
    taken = {str(card.get("name")) for card in bundles}
    names = (plain[:50], *(f"{plain[:50]}-{number}" for number in range(2, 1000)))
    return next(name for name in names if name not in taken)


def size_text(card: Fields) -> str:
    """How much is to be downloaded, in words."""
    megabytes = card.get("megabytes")
    if not isinstance(megabytes, int | float) or megabytes <= 0:
        return "size not known"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def terms_of(card: Fields) -> list[str]:
    """What has to be known before a download: what it is, where from, under which licence, how much."""
    cost = f"Download: about {size_text(card)}"
    if not card.get("direct", True):
        cost = "Its file is fetched by hand from the page"
    return [str(card.get("title")), f"From: {card.get('page')}", f"Licence: {card.get('licence')}", cost]


def install_request(card: Fields, *, online: bool, file: str = "") -> JobRequest:
    """Install a known checkpoint whose licence was accepted; `file` stands for the download."""
    params = {"name": card["name"], "licence": card["licence"], "online": online}
    return JobRequest(INSTALL, {**params, "file": file} if file else params, {}, str(card["title"]))


def align_request(
    svr: str, name: str, *, clip: Fields, online: bool, device: str, shapes: int, steps: int,
    licence: str = "", title: str = "",
) -> JobRequest:  # fmt: skip
    """Pair a CLIP (see the backend's `align`) with the shapes of the bundle `svr`."""
    params = {
        "svr": svr, "name": name, "clip": clip, "licence": licence, "online": online, "device": device,
        "shapes": shapes, "steps": steps,
    }  # fmt: skip
    return JobRequest(ALIGN, params, {}, title or f"CLIP for {svr}")


def _cards(value: object) -> list[Fields]:
    listed = value if isinstance(value, list) else []
    return [card for card in listed if isinstance(card, dict) and card.get("name")]
