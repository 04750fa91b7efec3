"""A batch on Ray: actors with warm bundles on one machine or many, and what happens when one is lost.

The batch's own process hands out items and writes what comes back (see `Ledger`); an item whose worker died
goes to another one, and as a dead worker cannot answer any more, no result comes twice. Ray is optional.
"""

import logging
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.batch_ledger import Ledger, Teller
from backend.errors import FaultError, IssError, SettingError
from iss_blender.batch import Outcome
from iss_blender.pins import load_pins

LOCAL = "local"
"""Address that starts a Ray of its own on this machine, for this batch only."""
THIS_CLUSTER = "auto"
"""Address that stands for the cluster which this machine is part of."""
KNOCK_S = 10.0
MOST_ATTEMPTS = 3
"""Of an item whose worker dies."""
MOST_STARTS = 3
"""Starts in a row of a worker that may fail."""
CLUSTER_THREADS = 2
"""CPU threads of a worker on a cluster, where none are asked for."""
OBJECT_STORE_BYTES = 256 * 2**20
"""Of a Ray of its own: results are a few MB and are taken out at once."""
_WAIT_S, _PATIENCE_S = 1.0, 30.0


@dataclass(frozen=True)
class RaySettings:
    """Where and how wide."""

    address: str = LOCAL
    """LOCAL, "auto" for the cluster that this machine is part of, or HOST:PORT."""
    workers: int = 0
    """0: as many as the processors allow, but no more than items."""
    threads: int = 0
    """CPU threads of each worker; 0 shares out this machine's, or takes CLUSTER_THREADS."""
    gpus: float = 0.0
    """GPUs of each worker; several share one where it is below 1."""


@dataclass
class _Hand:
    """One worker: its actor, the answer that is awaited, and the item that it is for."""

    actor: Any
    waiting_for: Any
    outcome: Outcome | None = None
    number: int = 0
    failed_starts: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def require_ray() -> Any:
    """The module; SettingError with the way to install it where it is absent."""
    try:
        import ray
    except ImportError as error:
        pin = load_pins().groups["ray"][0]
        raise SettingError(
            "Batches on Ray need the package ray, which is not installed.",
            remedy=f'Install it: `pip install "{pin}"`, or `python3 -m iss_blender.environment make '
            "--folder .venv --with ray`. Without --ray the batch runs in this process.",
        ) from error
    return ray


def work_on_ray(ledger: Ledger, formats: tuple[str, ...], settings: RaySettings, tell: Teller) -> None:
    """Make everything that waits with workers on Ray. SettingError where no Ray can be reached."""
    ray = require_ray()
    try:
        workers, threads = _connect(ray, settings, len(ledger.queue), tell)
        crew = _Crew(ray, ledger, formats, threads, settings.gpus, tell)
        crew.work(workers)
    finally:
        ray.shutdown()


class _Crew:
    """The workers of one batch."""

    def __init__(
        self, ray: Any, ledger: Ledger, formats: tuple[str, ...], threads: int, gpus: float, tell: Teller
    ) -> None:
        from backend.batch_worker import BatchWorker

        self._ray, self._ledger, self._tell = ray, ledger, tell
        self._arguments = (formats, threads)
        # A worker that Ray itself would start again, or a task that it would repeat, could do things twice.
        options = {"num_cpus": threads, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        self._kind = ray.remote(BatchWorker).options(**options)

    def work(self, workers: int) -> None:
        """Until nothing waits and nobody works, or all workers are given up."""
        hands = [self._hire() for _ in range(workers)]
        heard = time.monotonic()
        while self._ledger.queue or any(hand.outcome for hand in hands):
            awaited = {hand.waiting_for: hand for hand in hands if hand.waiting_for is not None}
            if not awaited:
                self._give_up()
                break
            ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=_WAIT_S)
            for reference in ready:
                heard = time.monotonic()
                self._hear(awaited[reference])
            if time.monotonic() - heard > _PATIENCE_S and not any(hand.facts for hand in hands):
                heard = time.monotonic()
                self._tell("waiting for Ray to find room for a worker")

    def _hire(self) -> _Hand:
        actor = self._kind.remote(*self._arguments)
        return _Hand(actor, actor.describe.remote())

    def _hear(self, hand: _Hand) -> None:
        """Take a worker's answer and give it the next item."""
        outcome, errors = hand.outcome, self._ray.exceptions
        try:
            answer = self._ray.get(hand.waiting_for)
        except errors.RayActorError as error:
            self._replace(hand, str(error).strip().partition("\n")[0])
            return
        except errors.RayError as error:  # the answer could not be brought here; the worker lives
            if outcome is None:
                self._replace(hand, _brief(error))
                return
            answer = {"error": {"code": "fault", "message": str(error).strip()[-300:], "remedy": ""}}
        if outcome is None:
            hand.facts, hand.failed_starts = dict(answer), 0
            hand.number = self._ledger.worker(hand.facts)
            place = f"process {hand.facts.get('pid')} on {hand.facts.get('host')}"
            self._tell(f"worker {hand.number}: {place}, {hand.facts.get('device')}")
        else:
            self._ledger.take(outcome, answer, hand.number)
        self._begin(hand)

    def _begin(self, hand: _Hand) -> None:
        """Give a worker the first item that can be given out; without one it rests."""
        hand.outcome = hand.waiting_for = None
        while self._ledger.queue:
            outcome = self._ledger.queue.popleft()
            try:
                order = self._ledger.order(outcome)
            except IssError as error:
                problem = {"code": error.code, "message": error.message, "remedy": error.remedy}
                self._ledger.fail(outcome, problem)
                continue
            hand.outcome, hand.waiting_for = outcome, hand.actor.make.remote(*order)
            self._tell(f"worker {hand.number}: begins {outcome.item.stem}")
            return

    def _replace(self, hand: _Hand, reason: str) -> None:
        """Another actor for one that died; its item goes back, unless it has killed enough workers."""
        lost, hand.outcome = hand.outcome, None
        self._tell(f"worker {hand.number or '(starting)'} was lost: {reason}")
        if lost is None:
            hand.failed_starts += 1
        elif lost.attempts < MOST_ATTEMPTS:
            self._ledger.again(lost)
        else:
            message = f"Its worker died {lost.attempts} times: {reason}"
            self._ledger.fail(lost, {"code": "died", "message": message, "remedy": "Try it alone."})
        if hand.failed_starts >= MOST_STARTS:
            hand.waiting_for = None
            return
        fresh = self._hire()
        hand.actor, hand.waiting_for, hand.facts = fresh.actor, fresh.waiting_for, {}

    def _give_up(self) -> None:
        while self._ledger.queue:
            message = "No worker could be started on Ray."
            problem = {"code": "start", "message": message, "remedy": "See Ray's own logs, then --resume."}
            self._ledger.fail(self._ledger.queue.popleft(), problem)


def _connect(ray: Any, settings: RaySettings, items: int, tell: Teller) -> tuple[int, int]:
    """Join or start a Ray; returns the numbers of workers and of threads of each."""
    # The program sends nothing to anybody, so Ray must not either.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # The default makes a Ray fail whose helper processes are slow to come up on a busy machine.
    os.environ.setdefault("RAY_agent_register_timeout_ms", "100000")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    cores = os.cpu_count() or 1
    if settings.address == LOCAL:
        workers = max(1, min(settings.workers or cores, items))
        threads = settings.threads or max(1, cores // workers)
        _start(ray, tell, num_cpus=workers * threads, **quiet)
        return workers, threads
    if settings.address != THIS_CLUSTER:
        _knock(settings.address)
    root = Path(__file__).resolve().parent
    modules = [str(root), str(root.parent / "iss_blender")]
    try:
        ray.init(address=settings.address, runtime_env={"py_modules": modules}, **quiet)
    except Exception as error:  # Ray raises plain exceptions of many kinds here
        raise SettingError(
            f"Ray cannot be reached at {settings.address!r}: {_brief(error)}",
            remedy="Start it with `ray start --head`, or use --ray local.",
        ) from error
    threads = settings.threads or CLUSTER_THREADS
    room = int(ray.cluster_resources().get("CPU", threads)) // threads
    return max(1, min(settings.workers or room, items)), threads


def _knock(address: str) -> None:
    """SettingError where nobody listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingError(
            f"{address!r} is no address of a Ray cluster.",
            remedy=f"Give HOST:PORT, {THIS_CLUSTER} or {LOCAL}.",
        )
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as error:
        raise SettingError(
            f"Nobody answers at {address!r}: {error.strerror or error}.",
            remedy="Start Ray there with `ray start --head`, or use --ray local.",
        ) from error


def _start(ray: Any, tell: Teller, **options: Any) -> None:
    """Start a Ray of our own; a busy machine may need a second try. FaultError."""
    for attempt in range(1, MOST_STARTS + 1):
        try:
            ray.init(
                address=LOCAL, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **options
            )
        except Exception as error:  # Ray raises plain exceptions of many kinds here
            ray.shutdown()
            if attempt == MOST_STARTS:
                raise FaultError(
                    f"Ray could not be started: {_brief(error)}",
                    remedy="Close other programs, or leave out --ray.",
                ) from error
            tell(f"Ray did not start ({_brief(error)}); trying again")
        else:
            return


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
