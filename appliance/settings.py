"""The settings of one appliance: defaults, then the TOML file, then the environment, then flags."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from appliance.errors import BadSetting
from appliance.settings_file import describe_stranger, read_settings_file
from appliance.sizes import read_bytes, read_mebibytes, read_memory
from storage.layout import Layout

CONFIG_VARIABLE = "APPLIANCE_CONFIG"
DEFAULTS_VARIABLE = "APPLIANCE_DEFAULTS"
"""Names the file in which a release proposes settings for its host; everything else comes before it."""
VERTEX_PORT_VARIABLE = "AIP_HTTP_PORT"
log = logging.getLogger("appliance.settings")

Bytes = Annotated[int, BeforeValidator(read_bytes)]
Mebibytes = Annotated[int, BeforeValidator(read_mebibytes)]
Memory = Annotated[str, BeforeValidator(read_memory)]


class Settings(BaseSettings):
    """Built once, in a process's composition root; each field has the environment twin ``APPLIANCE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="APPLIANCE_", frozen=True, extra="forbid")

    state: Path = Field(default=Path("/var/lib/appliance"), description="The state directory.")
    listen: str = Field(default="127.0.0.1", description="Address of the API and the dashboard.")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Inference API.")
    ui_port: int = Field(default=8080, ge=1, le=65535, description="Dashboard and control API.")
    orchestrator_port: int = Field(default=4200, ge=1, le=65535, description="Prefect, always on loopback.")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="MLflow's UI, always on loopback.")
    ui_mlflow_port: int = Field(
        default=8081, ge=0, le=65535, description="MLflow's UI behind the dashboard's login; 0: not served."
    )
    ui_prefect_port: int = Field(
        default=8082, ge=0, le=65535, description="Prefect's UI behind the dashboard's login; 0: not served."
    )
    ui_language: str = Field(
        default="en", pattern=r"^[a-z]{2,3}(_[A-Z][A-Za-z]+)?$",
        description="Language of the dashboard, as in de or pt_BR; English where there is no translation.",
    )  # fmt: skip
    tls_cert: Path | None = Field(
        default=None, description="A certificate with its chain, PEM; with it, TLS is spoken."
    )
    tls_key: Path | None = Field(default=None, description="Its key, PEM.")
    tls_listen: str = Field(default="0.0.0.0", description="Address of the TLS ports.")  # noqa: S104  (what TLS is for)
    tls_api_port: int = Field(default=8443, ge=1, le=65535, description="Inference API over TLS.")
    tls_ui_port: int = Field(default=8444, ge=1, le=65535, description="Dashboard and control API over TLS.")
    tls_ui_mlflow_port: int = Field(
        default=8445, ge=0, le=65535, description="MLflow's UI behind the login, over TLS; 0: not served."
    )
    tls_ui_prefect_port: int = Field(
        default=8446, ge=0, le=65535, description="Prefect's UI behind the login, over TLS; 0: not served."
    )
    api_workers: int = Field(
        default=0, ge=0, le=64,
        description="Equal worker processes of the inference API; 0: all cores but one, at least one.",
    )  # fmt: skip
    max_body_bytes: Bytes = Field(
        default=32 << 20, ge=1024, description='Largest request body of the APIs, in bytes, or as in "32MiB".'
    )
    body_timeout_s: float = Field(
        default=30.0, gt=0, allow_inf_nan=False,
        description="Seconds that a request's head, and then its body, may take to arrive at the inference API.",
    )  # fmt: skip
    max_rows: int = Field(default=100_000, ge=1, description="Most rows of one prediction request.")
    max_in_flight: int = Field(
        default=256, ge=1, description="Requests with a body that a worker of the inference API answers at once."
    )
    key_rate_per_s: float = Field(
        default=0.0, ge=0, allow_inf_nan=False,
        description="Requests a second that one API key may send to one worker of the inference API; 0: no limit.",
    )  # fmt: skip
    default_model: str = Field(
        default="", description="Who answers where a path names no model (/invocations); empty: the only deployed one."
    )
    capture_reserve_mb: Mebibytes = Field(
        default=256, ge=0,
        description='Free space in MiB, or as in "1GiB", that the event log leaves; below it, nothing is captured.',
    )  # fmt: skip
    capture_durability: Literal["async", "sync"] = Field(
        default="async",
        description="sync: an answer leaves when the disk has its event (group commit); async: when the kernel has it.",
    )
    max_upload_bytes: Bytes = Field(
        default=4 << 30, ge=1024, description='Largest file the dashboard takes, in bytes, or as in "4GiB".'
    )
    download_timeout_s: float = Field(
        default=3600.0, gt=0, description="Seconds that fetching a dataset's source from an address may take."
    )
    download_ca: Path | None = Field(
        default=None,
        description="Certificates of authorities, PEM, that an https source may be signed by, beside the system's.",
    )
    duckdb_memory: Memory = Field(
        default="1GB",
        description="DuckDB's memory limit; beyond it, it spills. A wide CSV may take 300 kB a column.",
    )
    training_threads: int = Field(
        default=0, ge=0, description="Threads of a training; 0: all cores, all but one while predictions come in."
    )
    systemd: bool = Field(default=False, description="The processes are systemd units; the installer sets it.")
    history_days: int = Field(
        default=400,
        ge=0,
        description="Days of predictions, labels, closed alerts and studies kept; 0: all. Counts stay for good.",
    )
    runs_days: int = Field(
        default=400, ge=0,
        description="Days that MLflow keeps a run whose version neither serves nor stands by; 0: for good.",
    )  # fmt: skip
    snapshot_days: int = Field(
        default=400, ge=0,
        description="Days that a version of a dataset is kept, unless a model was trained on it; 0: for good.",
    )  # fmt: skip
    keep_snapshots: int = Field(
        default=10, ge=1, description="Newest versions of each dataset that are kept, however old."
    )
    compaction_interval_s: float = Field(
        default=300.0, gt=0, description="Seconds between looks for closed segments of the event log to compact."
    )
    alert_cool_down_s: float = Field(
        default=3600.0, ge=0,
        description="Seconds before a channel hears of the same subject again, unless it got worse.",
    )  # fmt: skip
    backup_dir: Path | None = Field(
        default=None, description="Where backups lie; STATE/backups when left out. Another disk is better."
    )
    backup_nightly: bool = Field(default=True, description="Make and prove a backup every night.")
    backup_keep: int = Field(default=7, ge=1, description="Newest backups that are kept.")
    backup_keep_days: int = Field(
        default=30,
        ge=0,
        description="Days after which a backup goes, whatever their number; 0: only their number counts.",
    )
    backup_passphrase_file: Path | None = Field(
        default=None, description="A file whose first line seals every backup; keep a copy of it elsewhere."
    )
    metrics_aliases: frozenset[Literal["mlserver", "kserve"]] = Field(
        default=frozenset(), description="Also give counts under the names of MLServer or KServe, as a JSON list."
    )
    watch_interval_s: float = Field(default=2.0, gt=0, le=300, description="Seconds between looks at new events.")

    @property
    def layout(self) -> Layout:
        """The paths below the state directory."""
        return Layout(root=self.state)

    @property
    def backups(self) -> Path:
        """Where backups lie."""
        return self.backup_dir or self.state / "backups"

    def is_chosen(self, name: str) -> bool:
        """Whether somebody set it, in the file or the environment; else it is the default."""
        return name in self.model_fields_set

    @property
    def tls_ports(self) -> dict[str, tuple[int, int]]:
        """Setting of each TLS port to the port itself and the plain one it stands before; those served alone."""
        pairs = {
            "tls_api_port": (self.tls_api_port, self.api_port),
            "tls_ui_port": (self.tls_ui_port, self.ui_port),
            "tls_ui_mlflow_port": (self.tls_ui_mlflow_port, self.ui_mlflow_port),
            "tls_ui_prefect_port": (self.tls_ui_prefect_port, self.ui_prefect_port),
        }
        return {setting: pair for setting, pair in pairs.items() if all(pair)}

    @property
    def api_url(self) -> str:
        """How this host reaches its own inference API."""
        return f"http://{_reachable(self.listen)}:{self.api_port}"

    @property
    def ui_url(self) -> str:
        """How this host reaches its own dashboard."""
        return f"http://{_reachable(self.listen)}:{self.ui_port}"

    @property
    def orchestrator_url(self) -> str:
        """Prefect's REST API."""
        return f"http://127.0.0.1:{self.orchestrator_port}/api"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's store, opened directly; no server is needed."""
        return f"sqlite:///{(self.layout.mlflow / 'mlflow.db').absolute()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over Vertex AI's port over the settings file over what the release proposes."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if port := os.environ.get(VERTEX_PORT_VARIABLE):
            sources.append(InitSettingsSource(settings_cls, {"api_port": port}))
        for variable in (CONFIG_VARIABLE, DEFAULTS_VARIABLE):
            if path := os.environ.get(variable):
                file = read_settings_file(Path(path), settings_cls.model_fields)
                sources.append(InitSettingsSource(settings_cls, file.known))
        return tuple(sources)


def load_settings(**flags: Any) -> Settings:
    """Read the settings; flags that are None are left out.

    Keys of the settings file that are no setting are left out too, and logged.

    Raises:
        BadSetting: One sentence a wrong setting, with its name and what is accepted.
    """
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
        for sentence in list_strangers():
            log.warning("%s", sentence)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].removeprefix('Value error, ')}"
            f"{_origin(str(error['loc'][0]), flags)}"
            for error in exc.errors()
        )
        raise BadSetting(f"settings: {problems}") from exc
    except PermissionError as exc:
        raise BadSetting(
            f"settings file {exc.filename} may not be read by this user; run the command as root, or with sudo"
        ) from exc
    except (OSError, ValueError) as exc:
        raise BadSetting(f"settings file {os.environ.get(CONFIG_VARIABLE)}: {exc}") from exc
    return settings


def _origin(name: str, flags: Mapping[str, object]) -> str:
    """Where a wrong value stands, for whoever has to mend it; empty where the caller gave it."""
    if flags.get(name) is not None:
        return ""
    variable, path = f"APPLIANCE_{name.upper()}", os.environ.get(CONFIG_VARIABLE)
    if variable in os.environ:
        return f" (in {variable})"
    if path and name in read_settings_file(Path(path), Settings.model_fields).known:
        return f" (in {path})"
    return ""


def list_strangers() -> list[str]:
    """A sentence for each key of the settings file that is no setting of this release.

    Raises:
        OSError, ValueError: The file cannot be read.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        return []
    file = read_settings_file(Path(path), Settings.model_fields)
    return [f"settings file {path}: {describe_stranger(name, Settings.model_fields)}" for name in file.strangers]


def _reachable(listen: str) -> str:
    if listen in {"0.0.0.0", "::"}:  # noqa: S104  (compared, not bound)
        return "127.0.0.1"
    return f"[{listen}]" if ":" in listen else listen
