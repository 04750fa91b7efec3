"""The one error of a set-up, and how a failed step's log becomes a sentence with a remedy."""

from __future__ import annotations

import re

KEPT = "then retry; finished steps are kept."
_REMEDIES = (
    (r"No space left|not enough space|Errno 28", f"Free some disk space, {KEPT}"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "Your network looks into connections with a certificate of its own: start Blender with the variable "
        f"PIP_CERT set to that certificate's file, {KEPT}",
    ),
    (
        r"Name or service|name resolution|getaddrinfo|timed out|Connection|ProxyError|SSLError|unreachable",
        f"Check the internet connection (proxy, firewall), {KEPT}",
    ),
    (
        r"No matching distribution|is not a supported wheel",
        "This computer or Python version has no ready-made package: use a 64-bit Python 3.11 to 3.13.",
    ),
    (r"Permission denied|Access is denied", "Choose a folder that you may write to, or close what uses it."),
    (r"ensurepip", "Install Python's venv module (Debian: python3-venv), or choose another Python."),
)


class SetupError(Exception):
    """A set-up that cannot go on. `code` is stable: python, folder, disk, path_length, busy, pins or step."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code, self.message, self.remedy = code, message, remedy


def explain(title: str, exit_code: int, log: str) -> SetupError:
    """The error of a step that ended with `exit_code`; `log` is the end of its output."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("=== ")]
    named = [line for line in lines if re.search(r"error|is wanted|cannot be", line, re.IGNORECASE)]
    told = (named or lines or ["nothing was written to the log"])[-1]
    remedy = next((text for pattern, text in _REMEDIES if re.search(pattern, "\n".join(lines))), "")
    return SetupError(
        "step",
        f"Step '{title}' failed (exit code {exit_code}): {told[:300]}",
        remedy or f"Read the log, {KEPT}",
    )
