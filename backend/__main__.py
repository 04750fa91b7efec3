"""The command line: `python -m backend COMMAND`. Each command's module is imported only when it is asked for.

A command's module offers `configure(parser)` and `run(arguments) -> int`, the exit code. Errors that the
backend raises on purpose end here: 2 for what the user can put right, 1 for a fault, 130 for a stop.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from backend.errors import IssError

COMMANDS: dict[str, tuple[str, str]] = {
    "generate": ("backend.cli_generate", "make a coloured mesh from a prompt, an image or both"),
    "batch": ("backend.cli_batch", "make a list of prompts in one go, here or on many machines with Ray"),
    "stylize": ("backend.cli_stylize", "give a result a new look: its texture, or shape and texture"),
    "serve": ("backend.cli_serve", "answer Blender over standard input and output"),
    "models": ("backend.cli_models", "list the model bundles and check their files"),
    "train": ("backend.cli_train", "train the starter, or an SVR model, a mapper or a CLIP on data"),
    "align": ("backend.cli_align", "pair any CLIP with any SVR model into a new bundle"),
    "evaluate": ("backend.cli_evaluate", "judge a bundle on a table of prompts, or on the starter's floors"),
    "dataset": ("backend.cli_dataset", "see what the shape programs make, or check a folder of data"),
    "bench": ("backend.bench", "measure speed and memory against a straightforward dense path"),
    "doctor": ("backend.doctor", "check this installation and report what is wrong with it"),
}
"""Name -> (module, what it does)."""

STOPPED = 130
"""Exit code after Ctrl-C, as shells use it."""
READER_LEFT = 141
"""Exit code where standard output was closed too early, as of programs that the signal for it ends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Threads that spin while they wait made a prompt 15 times slower beside another busy program.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What torch cannot do yet on Apple's GPUs, its CPU does; torch reads this when it loads.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    if not arguments or arguments[0] not in COMMANDS:
        _overview().parse_args(arguments or ["--help"])
        return 2
    name = arguments[0]
    module_name, what = COMMANDS[name]
    try:
        module = importlib.import_module(module_name)
        parser = argparse.ArgumentParser(prog=f"python -m backend {name}", description=f"{what}.")
        module.configure(parser)
        return module.run(parser.parse_args(arguments[1:]))
    except IssError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return STOPPED


def program() -> int:
    """`main` for a shell, whose reader may leave early, as `| head` does: no traceback then.

    The exit code is that of the work where it was done by then.
    """
    code = READER_LEFT
    try:
        try:
            code = main()
        except SystemExit as leaving:  # argparse has shown its help, or what is wrong
            code = leaving.code if isinstance(leaving.code, int) else 2
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter's own last flush goes nowhere instead of failing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()),
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="see below")
    return parser


if __name__ == "__main__":
    sys.exit(program())
