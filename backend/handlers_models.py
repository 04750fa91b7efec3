"""Requests about models: the list, install, import, remove, and "Use full CLIP", stage 1 as a job.

Everything is checked again here, whatever the add-on has shown: a licence must come back as it stands in our
tables, and the network is used only where the request allows it. A download yields at each block.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend import model_store
from backend.bundle_places import RECORD_NAME, SHIPPED_FOLDER, find_bundles, resolve_bundle
from backend.errors import BundleError, CheckpointError, SettingError
from backend.handlers_request import Handler, Reply, Request, Steps, Update, progress_update
from backend.known_clips import KNOWN_CLIPS, KnownClip, fetch_clip, known_clip
from backend.model_store import KNOWN_MODELS, KnownModel, check_free, check_known, download, downloaded
from iss_blender.protocol import Fields

if TYPE_CHECKING:
    from backend.training.clip_choice import ChosenClip
    from backend.training.pairing import Pairing

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
"""Of a bundle that the add-on asks for: one folder's name on any system, never a path."""
DEFAULT_ARCHITECTURE = "ViT-B-32-quickgelu"
"""Of a CLIP weights file that came without its architecture."""


class ModelHandlers:
    """The handlers. `parents`: folders searched for bundles instead of the usual ones, the first of which new
    ones go to. `forget` drops loaded models, before files change or memory is needed."""

    def __init__(
        self, parents: list[Path] | None, forget: Callable[[], object], *, work: Path | None = None
    ) -> None:
        self._parents = parents
        self._forget = forget
        self._work = work

    def table(self) -> dict[str, Handler]:
        """Name -> handler."""
        return {
            "models": self.models,
            "install_model": self.install,
            "import_model": self.bring,
            "remove_model": self.remove,
            "align": self.align,
        }

    def lists(self) -> Fields:
        """Installed bundles, known checkpoints and CLIPs, as the add-on shows them; quick, without torch."""
        found = find_bundles(self._parents)
        return {
            "bundles": [bundle_card(name, folder) for name, folder in found.items()],
            "known": [_model_card(model) for model in KNOWN_MODELS.values()],
            "clips": [_clip_card(clip) for clip in KNOWN_CLIPS.values()],
        }

    def models(self, request: Request) -> Steps:
        """The lists; with `verify` the hashes of the bundles' files are checked too."""
        from backend.bundles import read_record, verify_bundle

        verify = bool(request.params.get("verify"))
        cards = []
        found = find_bundles(self._parents)
        for index, (name, folder) in enumerate(found.items()):
            yield progress_update("verify", index, len(found))
            card = bundle_card(name, folder)
            try:
                record = read_record(folder)
                if verify:
                    verify_bundle(folder, record)
                    card["verified"] = True
                card["settings"] = record.settings.to_dict()
            except BundleError as problem:
                card["problem"] = str(problem)
            cards.append(card)
        damaged = sum("problem" in card for card in cards)
        told = f"{len(cards) - damaged} of {len(cards)} models are sound." if verify else ""
        return Reply({**self.lists(), "bundles": cards, "told": told})

    def install(self, request: Request) -> Steps:
        """A known checkpoint as a bundle. params: name, licence (accepted, as it was shown), online (whether
        the network may be used), file (a local one instead of a download)."""
        model = known_model_of(request)
        out = self._free_place(model.name)
        _check_licence(request, model.licence)
        file = _text(request, "file")
        if file:
            path = Path(file)
            if path.is_file() and model.sha256:
                check_known(path, model)
        else:
            if not request.params.get("online") and downloaded(model) is None:
                raise CheckpointError(
                    f"{model.title} has to be downloaded, and going online is not allowed.",
                    remedy="Allow it in Edit > Preferences > System > Network, or give a local file.",
                )
            path = yield from _shown(download(model))
        yield from self._convert(
            path, model.kind, out, licence=model.licence, description=model.title, **model.options
        )
        return self._done(out.name, f"{model.title} is installed as {out.name}.")

    def bring(self, request: Request) -> Steps:
        """A local checkpoint file as a bundle. params: file, kind, name; licence, scale where known."""
        out = self._free_place(_text(request, "name"))
        options: dict[str, Any] = {"licence": _text(request, "licence")}
        scale = request.params.get("scale")
        if isinstance(scale, int | float) and scale > 0:
            options["scale"] = float(scale)
        yield from self._convert(Path(_text(request, "file")), _text(request, "kind"), out, **options)
        return self._done(out.name, f"{out.name} is imported.")

    def remove(self, request: Request) -> Steps:
        """Delete a bundle. params: name."""
        name = _text(request, "name")
        folder = find_bundles(self._parents).get(name)
        if folder is None:
            raise BundleError(f"There is no model {name!r:.80}.", remedy="List the models again.")
        yield progress_update("remove", 0, 1)
        self._forget()
        _, freed, left = model_store.remove_bundle(folder)
        kept = f" {len(left)} files that are not the model's stay in {folder}." if left else ""
        return self._done(name, f"{name} is removed, {freed / 1e6:.0f} MB are free.{kept}")

    def align(self, request: Request) -> Steps:
        """Stage 1: another CLIP for the SVR model of a bundle. params: svr, name (of the new bundle), clip:
        {"known": NAME} with licence and online as for `install`, {"file": PATH, "architecture": NAME}, or
        {"bundle": NAME}; shapes, steps, seed; device. What was made on the way is kept for the next call."""
        from backend.device import resolve_device
        from backend.training.pairing import Pairing, PairingSettings

        started = time.perf_counter()
        params = request.params
        names = ("shapes", "steps", "seed", "mapper")
        wish: Fields = {name: params[name] for name in names if name in params}
        settings = PairingSettings.from_dict(wish)
        out = self._free_place(_text(request, "name"))
        svr = resolve_bundle(_text(request, "svr") or "starter", folders=self._parents)
        device = resolve_device(_text(request, "device") or "auto")
        self._forget()
        clip = yield from self._choose_clip(request)
        work = self._work or model_store.STORE / "align"
        pairing = Pairing(svr, clip, settings, work, device=device)
        yield from _encode(pairing)
        for step in pairing.train():
            yield progress_update("align", step.step, step.steps)
        yield progress_update("write", 0, 1)
        record = pairing.write(out, seconds=time.perf_counter() - started)
        quality = record.quality["alignment"]
        reply = self._done(out.name, f"{out.name} is ready: {clip.title} for the shapes of {svr.name}.")
        return Reply({**reply.fields, "choose": out.name, "quality": quality})

    def _choose_clip(self, request: Request) -> "Generator[Update, None, ChosenClip]":
        from backend.training.clip_choice import choose_clip

        wanted = request.params.get("clip")
        if not isinstance(wanted, dict) or len({"known", "file", "bundle"} & set(wanted)) != 1:
            raise SettingError(
                f"clip is {wanted!r:.80}.", remedy="Give one of: a known name, a file, or a bundle."
            )
        if "bundle" in wanted:
            yield progress_update("load", 0, 1)
            folder = resolve_bundle(str(wanted["bundle"]), folders=self._parents)
            return choose_clip(None, None, bundle=folder)
        if "file" in wanted:
            path, architecture = Path(str(wanted["file"])), str(wanted.get("architecture") or "")
        else:
            clip = known_clip(str(wanted["known"]))
            _check_licence(request, clip.licence)
            online = bool(request.params.get("online"))
            path = yield from _shown(fetch_clip(clip, online=online))
            architecture = clip.architecture
        if not path.is_file():
            raise CheckpointError(f"There is no file {path} where the backend runs.", remedy="Give another.")
        yield progress_update("load", 0, 1)
        return choose_clip(architecture or DEFAULT_ARCHITECTURE, str(path))

    def _convert(self, path: Path, kind: str, out: Path, **options: Any) -> Generator[Update, None, None]:
        yield progress_update("convert", 0, 1)
        from backend.checkpoint_import import import_checkpoint

        self._forget()
        import_checkpoint(path, kind, out, **options)
        yield progress_update("convert", 1, 1)

    def _free_place(self, name: str) -> Path:
        """The folder of a new bundle; SettingError where the name is no name, or taken."""
        if not NAME.fullmatch(name):
            raise SettingError(
                f"{name!r:.80} cannot be a model's name.",
                remedy="Use up to 60 letters, digits, points, dashes and underscores.",
            )
        if name in find_bundles(self._parents):
            raise SettingError(
                f"There is a model {name!r} already.", remedy="Choose another name, or remove that one first."
            )
        out = (self._parents[0] if self._parents else model_store.STORE / "bundles") / name
        check_free(out)
        return out

    def _done(self, name: str, told: str) -> Reply:
        return Reply({**self.lists(), "name": name, "told": told})


def bundle_card(name: str, folder: Path) -> Fields:
    """What the add-on shows of a bundle; an unreadable record has the key `problem`."""
    shipped = folder.resolve().is_relative_to(SHIPPED_FOLDER.resolve())
    card: Fields = {"name": name, "folder": str(folder), "shipped": shipped}
    try:
        record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        card["description"] = str(record["description"])
        card["licence"] = str(record["licence"])
        card["categories"] = [str(category) for category in record["categories"]]
        card["bytes"] = sum(int(known["bytes"]) for known in record["files"].values())
        card["has_mapper"] = bool(record.get("mapper"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        card["problem"] = f"The record of the bundle cannot be read: {problem}."
    return card


def known_model_of(request: Request) -> KnownModel:
    """The known checkpoint that a request names; SettingError."""
    return model_store.known_model(_text(request, "name"))


def _model_card(model: KnownModel) -> Fields:
    fields = {key: getattr(model, key) for key in ("name", "title", "kind", "page", "licence", "megabytes")}
    return {**fields, "direct": bool(model.url)}


def _clip_card(clip: KnownClip) -> Fields:
    shown = ("name", "title", "architecture", "page", "licence", "megabytes")
    return {key: getattr(clip, key) for key in shown}


def _check_licence(request: Request, licence: str) -> None:
    """SettingError unless the request carries the licence's words, which the add-on has shown."""
    if _text(request, "licence") != licence:
        raise SettingError(
            f"The licence was not accepted: {licence}.", remedy="Read it at its page, tick it, and try again."
        )


def _text(request: Request, name: str) -> str:
    value = request.params.get(name, "")
    if not isinstance(value, str):
        raise SettingError(f"{name} is {value!r:.40}.", remedy=f"Give {name} as text.")
    return value


def _shown(work: Generator[tuple[int, int], None, Path]) -> Generator[Update, None, Path]:
    """A download's progress in megabytes."""
    with contextlib.closing(work):
        while True:
            try:
                done, total = next(work)
            except StopIteration as end:
                return Path(end.value)
            yield progress_update("download", round(done / 1e6), round(total / 1e6))


def _encode(pairing: "Pairing") -> Generator[Update, None, None]:
    """Shapes, then features and codes; the two or three parts of each count as one phase."""
    workers = max(1, (os.cpu_count() or 2) - 1)  # one core stays Blender's
    phases: dict[str, list[Iterator[int]]] = {}
    for name, work in pairing.parts(workers=workers):
        phases.setdefault("shapes" if name.startswith("shapes") else "encode", []).append(work)
    for phase, works in phases.items():
        for number, work in enumerate(works):
            yield progress_update(phase, number * pairing.shapes, len(works) * pairing.shapes)
            for done in work:
                yield progress_update(phase, number * pairing.shapes + done, len(works) * pairing.shapes)
