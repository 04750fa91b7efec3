"""Every static check in one command: ruff, mypy on the strict files, and the architecture test.

python scripts/check.py [--fix]
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRICT = (
    "iss_blender/protocol.py",
    "iss_blender/client.py",
    "iss_blender/environment.py",
    "backend/config.py",
    "backend/server.py",
    "backend/handlers.py",
)
"""Files held to mypy's strict mode: the contract and what speaks it."""


def main() -> int:
    """Run all checks, also after a failure; 0 when all passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fix", action="store_true", help="let ruff repair what it can")
    fix = ["--fix"] if parser.parse_args().fix else []
    python = [sys.executable, "-m"]
    checks = {
        "ruff": [*python, "ruff", "check", *fix, "."],
        "mypy": [*python, "mypy", *(name for name in STRICT if (ROOT / name).exists())],
        "architecture": [*python, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py"],
    }
    failed = [
        name for name, command in checks.items() if subprocess.run(command, cwd=ROOT, check=False).returncode
    ]
    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(checks)}.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
