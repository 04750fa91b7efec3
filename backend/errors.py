"""Every error that the backend raises on purpose, as one tree.

    IssError                    code, message, remedy
    |-- UserError               exit code 2: the user can put it right
    |   |-- PromptError         empty, enormous or unreadable prompt
    |   |-- SettingError        a setting out of range, an unknown key, a bad recipe
    |   |-- ImageError          an input image that cannot be used
    |   |-- OutputError         the output place cannot be written, or the disk is full
    |   |-- BundleError         a bundle missing, damaged, altered or of the wrong kind
    |   |-- CheckpointError     a public checkpoint that does not fit or is not safe to read
    |   |-- DatasetError        a data set folder with something wrong in it
    |   `-- MeshError           a mesh that cannot be used as asked
    |-- FaultError              exit code 1: the run failed
    |   |-- EmptyShapeError     the field has no surface
    |   |-- NumericalError      NaN or infinity during tuning
    |   `-- MemoryShortError    not enough memory, even after halving the chunks
    `-- CancelledError          exit code 130: the user stopped the job

A message says what was wrong, with the value; a remedy says what to do next.
"""


class IssError(Exception):
    """Base of all deliberate errors.

    `code` is stable and crosses the pipe; `message` names the problem and the value; `remedy` is
    one sentence telling what to do.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UserError(IssError):
    """Something the user can put right."""

    code = "user"
    exit_code = 2


class PromptError(UserError):
    code = "prompt"


class SettingError(UserError):
    code = "setting"


class ImageError(UserError):
    code = "image"


class OutputError(UserError):
    code = "output"


class BundleError(UserError):
    code = "bundle"


class CheckpointError(UserError):
    code = "checkpoint"


class DatasetError(UserError):
    code = "dataset"


class MeshError(UserError):
    code = "mesh"


class FaultError(IssError):
    """The run failed although the request was in order."""

    code = "fault"


class EmptyShapeError(FaultError):
    code = "empty_shape"


class NumericalError(FaultError):
    code = "numerical"


class MemoryShortError(FaultError):
    code = "memory"


class CancelledError(IssError):
    """The user stopped the job."""

    code = "cancelled"
    exit_code = 130
