"""What can go wrong while remembering.

    StorageError
    ├── StateUnwritable      the state directory is read-only, full, or somebody else's
    ├── StaleSchema          the state database is older or newer than this program
    ├── NumberTooLarge       a number beyond 64 bits, which no id and no version can be
    ├── EventLogUnwritable   an event could not be appended; nothing was acknowledged
    ├── SourceUnreadable     a file or table cannot be read as what it claims to be
    │   └── SourceUnreachable    a server does not answer, or not now; later it may
    ├── DatasetNotFound      no dataset of that name
    ├── SnapshotNotFound     the dataset has no such version
    ├── SchemaChanged        an append does not have the dataset's columns
    ├── RulesWrong           a dataset's rules are malformed or contradict themselves
    ├── RulesBroken          rows break a dataset's rules so that none of them is taken
    ├── AlreadyIngested      what may be ingested once is in the dataset
    ├── BundleNotFound       no bundle of that model and version
    ├── BundleCorrupt        a bundle's file is missing or differs from its manifest
    ├── BackupNotFound       no backup of that name
    └── BackupDamaged        a backup is cut off, changed, or sealed with another passphrase
        └── PassphraseWrong      a backup's first piece does not open: another passphrase, or damage

Each message says what, where, and what to do about it.
"""


class StorageError(Exception):
    """Something could not be remembered or recalled."""


class StateUnwritable(StorageError):
    """The state directory cannot be written."""


class StaleSchema(StorageError):
    """The state database has another schema than this program expects."""


class NumberTooLarge(StorageError):
    """A number is beyond 64 bits, so that the state database can have nothing under it."""


class EventLogUnwritable(StorageError):
    """An event could not be appended."""


class SourceUnreadable(StorageError):
    """A source cannot be read as the table it claims to be."""


class SourceUnreachable(SourceUnreadable):
    """The server that has a source does not answer, or not now."""


class DatasetNotFound(StorageError):
    """No dataset has that name."""


class SnapshotNotFound(StorageError):
    """The dataset has no such version."""


class SchemaChanged(StorageError):
    """The rows to append have other columns than the dataset."""


class RulesWrong(StorageError):
    """A dataset's rules are malformed or contradict themselves."""


class RulesBroken(StorageError):
    """Rows break a dataset's rules so that none of them is taken."""


class AlreadyIngested(StorageError):
    """What may be ingested once is in the dataset."""


class BundleNotFound(StorageError):
    """No bundle of that model and version is published."""


class BundleCorrupt(StorageError):
    """A bundle's file is missing or differs from its manifest."""


class BackupNotFound(StorageError):
    """No backup has that name."""


class BackupDamaged(StorageError):
    """A backup is cut off, changed, or sealed with another passphrase."""


class PassphraseWrong(BackupDamaged):
    """A backup's first piece does not open: another passphrase, or damage; the two look alike."""
