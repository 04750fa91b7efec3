"""Makes a real Blender program for the tests, and runs commands beside it.

Debian's Blender is put into a folder of its own (.blender/, ignored by git) with debootstrap and entered by
chroot. Mounts live in a mount namespace that ends with the command, so nothing stays mounted, however the
command ends. Needs root on a Debian-like Linux, and the network once.

    python3 scripts/make_blender.py make
    python3 scripts/make_blender.py run -- blender --version
    python3 scripts/make_blender.py run --display -- blender --python script.py
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".blender"
SYSTEM = FOLDER / "trixie"
READY = FOLDER / "ready.txt"
SUITE = "trixie"
PACKAGES = ["blender", "python3-numpy", "xvfb", "libgl1-mesa-dri", "xdotool", "imagemagick", "x11-utils"]
SCREEN = "1400x900x24"
NAMESPACE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
_APT = "apt-get -o Acquire::Languages=none -o Dpkg::Options::=--force-unsafe-io -y --no-install-recommends"
_WITH_DISPLAY = f"""
Xvfb -displayfd 3 -screen 0 {SCREEN} +extension GLX -nolisten tcp 3>/tmp/display >/tmp/xvfb.log 2>&1 &
tries=0
while [ ! -s /tmp/display ]; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || {{ cat /tmp/xvfb.log >&2; echo "Xvfb does not start." >&2; exit 1; }}
    sleep 0.1
done
export DISPLAY=:$(cat /tmp/display) LIBGL_ALWAYS_SOFTWARE=1
"$@"
"""


class CannotMakeError(Exception):
    """Blender cannot be made here; the text says why."""


def make() -> None:
    """Make the Blender program unless it is there already. Raises CannotMakeError."""
    wanted = f"{SUITE} {' '.join(PACKAGES)}\n"
    if READY.exists() and READY.read_text("utf-8") == wanted:
        return
    _require_root()
    if not shutil.which("debootstrap"):
        _call(["apt-get", "update", "-qq"])
        _call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap"])
    READY.unlink(missing_ok=True)
    if SYSTEM.exists():
        shutil.rmtree(SYSTEM)
    FOLDER.mkdir(exist_ok=True)
    _call([*NAMESPACE, "debootstrap", "--variant=minbase", SUITE, str(SYSTEM)])
    _call(
        chroot_command(["sh", "-c", f"{_APT} update && {_APT} install {' '.join(PACKAGES)} && apt-get clean"])
    )
    _call(chroot_command(["blender", "--version"]))
    READY.write_text(wanted, "utf-8")


def chroot_command(
    command: Sequence[str],
    *,
    display: bool = False,
    binds: Sequence[Path] = (),
    variables: Sequence[str] = (),
    directory: Path = Path("/"),
) -> list[str]:
    """The full command that runs `command` inside.

    `binds` are seen inside at the same paths; `variables` are NAME=VALUE; `display` gives it a screen of its
    own (1400 x 900).
    """
    at = shlex.quote(str(SYSTEM))
    mounts = [f"mount -t proc proc {at}/proc", f"mount --rbind /dev {at}/dev"]
    mounts.append(f"mount -t tmpfs tmpfs {at}/tmp")
    for path in binds:
        outside, inside = shlex.quote(str(path)), shlex.quote(f"{SYSTEM}{path}")
        above = shlex.quote(f"{SYSTEM}{path.parent}")
        mounts.append(f"mkdir -p {inside}" if path.is_dir() else f"mkdir -p {above} && touch {inside}")
        mounts.append(f"mount --bind {outside} {inside}")
    fixed = [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
        "DEBIAN_FRONTEND=noninteractive",
    ]
    fixed += [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    start = _WITH_DISPLAY if display else 'exec "$@"'
    inner = f"cd {shlex.quote(str(directory))}\n{start}"
    entered = [
        "chroot",
        str(SYSTEM),
        "/usr/bin/env",
        "-i",
        *fixed,
        *variables,
        "sh",
        "-c",
        inner,
        "sh",
        *command,
    ]
    return [*NAMESPACE, "sh", "-c", "\n".join(["set -e", *mounts, 'exec "$@"']), "sh", *entered]


def backend_binds(environment: Path = ROOT / ".venv") -> list[Path]:
    """What the backend needs inside: this checkout, the environment, and the Python it was made from."""
    config = environment / "pyvenv.cfg"
    binds = [ROOT] if environment.is_relative_to(ROOT) else [ROOT, environment]
    if config.exists():
        pairs = dict(line.split(" = ", 1) for line in config.read_text("utf-8").splitlines() if " = " in line)
        program = Path(pairs["home"]) / f"python{'.'.join(pairs['version'].split('.')[:2])}"
        binds += python_binds(program)
    return binds


def python_binds(program: Path) -> list[Path]:
    """Folders of a Python: its prefix, or, for the system's own, only what belongs to it alone."""
    if program.parent == Path("/usr/bin"):
        return [program.resolve(), Path("/usr/lib") / program.name]
    return [program.parent.parent]


def _require_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotMakeError("it needs root on Linux")
    if not shutil.which("debootstrap") and not shutil.which("apt-get"):
        raise CannotMakeError("it needs debootstrap, or apt-get to install it")
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        raise CannotMakeError("this machine does not allow mounts (unshare --mount)")


def _call(command: Sequence[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "make.log").open("ab") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise CannotMakeError(f"'{shlex.join(command)[:120]}' failed, see {FOLDER / 'make.log'}")


def main() -> int:
    """make: 0, or 1 with the reason. run: becomes the command, and so has its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("make", help="make the program unless it is there")
    run = actions.add_parser("run", help="run a command beside it")
    run.add_argument("--display", action="store_true", help="with a screen of its own")
    run.add_argument(
        "--bind", action="append", type=Path, default=[], help="one more folder, at the same path"
    )
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    try:
        if given.action == "make":
            make()
            print(f"Blender is in {SYSTEM}.")
            return 0
        if not READY.exists():
            raise CannotMakeError("it was not made yet: python3 scripts/make_blender.py make")
    except CannotMakeError as error:
        print(f"No real Blender: {error}.", file=sys.stderr)
        return 1
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    full = chroot_command(
        command,
        display=given.display,
        binds=[*backend_binds(), *(path.resolve() for path in given.bind)],
        variables=given.env,
        directory=ROOT,
    )
    sys.stdout.flush()
    os.execvp(full[0], full)


if __name__ == "__main__":
    sys.exit(main())
