"""What the appliance says when something cannot be done.

    ApplianceError
    ├── BadSetting             a setting is missing, malformed or contradicts another
    ├── BadInput               the caller's data or request cannot be used as it is
    │   ├── BadRow             a row of a request: names the row, the field, what was wrong, what is accepted
    │   ├── BadTable           a dataset cannot train this model: names the column and the way out
    │   └── BadModelSpec       a model's declaration is wrong: names the key
    ├── NotFound               a model, version, job, key or user that does not exist
    ├── NotAllowed             the caller has no key or role for this
    ├── Conflict               the thing changed, exists already, or is in use
    ├── NotReady               a part that is needed does not run or is still starting
    │   └── ProcessLost            the process that did the work ended before it had answered
    ├── Stopped                somebody ended what was being done before it was done
    └── BundleRefused          a bundle failed its own proof (hashes, golden rows) and will not serve

Each message says what, where, and what to do about it; no traceback reaches a caller.
"""

from __future__ import annotations


class ApplianceError(Exception):
    """Something the appliance was asked for cannot be done."""


class BadSetting(ApplianceError):
    """A setting is missing, malformed or contradicts another."""


class BadInput(ApplianceError):
    """The caller's data or request cannot be used as it is."""


class BadRow(BadInput):
    """One field of one row cannot be used.

    Attributes:
        row: Its index in the request, from 0.
        field: The column's name.
        found: What was wrong, without echoing a whole row.
        accepted: What would be right.
        absent: The row has no such field; else it has one of another type, or a number that is none.
    """

    def __init__(self, *, row: int, field: str, found: str, accepted: str, absent: bool = False) -> None:
        self.row = row
        self.field = field
        self.found = found
        self.accepted = accepted
        self.absent = absent
        super().__init__(f"row {row}, field {field!r}: {found}; accepted: {accepted}")


class BadTable(BadInput):
    """A dataset cannot train this model."""


class BadModelSpec(BadInput):
    """A model's declaration is wrong."""


class NotFound(ApplianceError):
    """No such model, version, job, key or user."""


class NotAllowed(ApplianceError):
    """The caller has no key or role for this."""


class Conflict(ApplianceError):
    """The thing changed meanwhile, exists already, or is in use."""


class NotReady(ApplianceError):
    """A part that is needed does not run, or is still starting."""


class ProcessLost(NotReady):
    """The process that did the work ended before it had answered."""


class Stopped(ApplianceError):
    """Somebody ended what was being done before it was done."""


class BundleRefused(ApplianceError):
    """A bundle failed its own proof and will not serve."""
