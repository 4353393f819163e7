"""What a pipeline is told: the TOML file and the command line as typed settings, each mistake named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cdcd.errors import UsageError
from cdcd.mistakes import Places, allowed, mistakes
from cdcd.model.change import Policy
from cdcd.model.selection import Selection
from cdcd.secrets import Address, expand

Load = Literal["full", "only", "skip"]
Partitions = Literal["root", "leaves"]
Objects = Literal["tables", "all"]
TargetTables = Literal["create", "use", "truncate", "drop"]
AcknowledgeAfter = Literal["flushed", "replicated"]
OnError = Literal["stop", "skip"]
OnConflict = Literal["stop", "overwrite", "skip"]
Cascades = Literal["derive", "refuse"]

PREFIX = "cdcd_"
LONGEST = 40
"""A name has 63 characters at most where ends are strict about it, and a pipeline's stands in several, beside a prefix
and a number of up to 17 digits. One rule for all ends, so that a pipeline can change its target."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _endpoint(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:9187")
    return value


def _patterns(value: object) -> object:
    """TOML and the command line give lists, or one string with commas."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of patterns like 'public.*'")
    try:
        return Selection.of(value).patterns
    except UsageError as error:
        raise ValueError(f"{error.what}: {error.why}; {error.hint}") from None


def _pipeline_name(value: str) -> str:
    if wrong := wrong_name(value):
        raise ValueError(f"{wrong}; it names the replication slot {PREFIX}<name>")
    return value


def wrong_name(name: str) -> str:
    """Why `name` cannot name a pipeline; "" where it can."""
    if not name:
        return "must not be empty"
    if bad := sorted({c for c in name if c not in "abcdefghijklmnopqrstuvwxyz0123456789_"}):
        return f"must be made of a-z, 0-9 and _ (found {', '.join(map(repr, bad))})"
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters (it has {len(name)})"
    return ""


class Endpoint(_Settings):
    """A server: a URL, and where its password is when it is not in the URL, the environment or ~/.pgpass."""

    url: str
    password_file: str | None = None


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+) ?([kMG]?)B?", value)
    if match is None:
        raise ValueError("must be bytes, or a size like '64 MB' (kB, MB, GB)")
    return int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]


Place = Annotated[Endpoint, BeforeValidator(_endpoint)]
Size = Annotated[int, BeforeValidator(_size)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class PipelineSettings(_Settings):
    """One `[[pipeline]]`, or what the options of `cdcd run` say."""

    name: Annotated[str, AfterValidator(_pipeline_name)] | None = None
    source: Place = Field(alias="from")
    target: Place = Field(alias="to")
    tables: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = ()
    load: Load = "full"
    from_now: bool = False
    until: str | None = None
    standby: bool = False
    standby_seconds: Seconds = Field(default=30.0, gt=0)
    patience: Seconds = Field(default=60.0, ge=0)
    target_tables: TargetTables = "create"
    objects: Objects = "tables"
    publication: str | None = None
    slot: str | None = None
    failover: bool = False
    acknowledge_after: AcknowledgeAfter = "flushed"
    where: dict[str, str] = Field(default_factory=dict)
    mask: dict[str, str] = Field(default_factory=dict)
    chunks_per_snapshot: int = Field(default=0, ge=0)
    chunk_bytes: Size = Field(default=64 << 20, ge=1 << 16)
    group_bytes: Size = Field(default=4 << 20, ge=1 << 16)
    loaders: int = Field(default=2, ge=1, le=64)
    partitions: Partitions = "root"
    log_disk: Annotated[int | None, BeforeValidator(_size)] = Field(default=None, ge=1 << 20)
    table_poll: Seconds = Field(default=10.0, gt=0)
    on_error: OnError = "stop"
    on_conflict: OnConflict = "stop"
    max_exceptions: int = Field(default=1000, ge=1)
    policy_tables: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = ()
    on_schema_change: Policy = "apply"
    cascades: Cascades = "derive"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.from_now and self.load != "skip":
            raise ValueError("from_now needs load = 'skip': a load begins at its own snapshot, not at 'now'")
        if self.load == "skip" and self.target_tables in ("truncate", "drop"):
            raise ValueError(
                f"target_tables = '{self.target_tables}' does not go with load = 'skip': the rows that are there would "
                "be gone, and none come in their place"
            )
        if self.load == "only" and self.until is not None:
            raise ValueError("until does not go with load = 'only', which ends when the target is consistent")
        if (self.where or self.mask) and (self.load != "only" or self.chunks_per_snapshot):
            raise ValueError(
                "where and mask need load = 'only' and no chunks_per_snapshot: a stream would bring what they leave out"
            )
        if self.until is not None and not self.until.strip():
            raise ValueError("until must be 'caught-up' or a position of the source, for example 0/16B3748")
        return self

    @property
    def finite(self) -> bool:
        """Whether it ends by itself."""
        return self.load == "only" or self.until is not None


class HttpSettings(_Settings):
    listen: Annotated[str, AfterValidator(_host_port)] | None = None
    stuck_after: Seconds = Field(default=120.0, gt=0)


class LogSettings(_Settings):
    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class FileSettings(_Settings):
    """The whole file."""

    pipeline: list[PipelineSettings] = Field(min_length=1)
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline ready to be wired: it has a name, and addresses that hide what is secret. `written` is what the person
    wrote, by key, before ${NAME} was replaced."""

    name: str
    source: Address
    target: Address
    settings: PipelineSettings
    written: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def slot(self) -> str:
        return self.settings.slot or PREFIX + self.name

    @property
    def publication(self) -> str:
        return self.settings.publication or PREFIX + self.name


@dataclass(frozen=True, slots=True)
class Config:
    pipelines: tuple[Pipeline, ...]
    http: HttpSettings
    log: LogSettings

    def pick(self, names: Sequence[str], where: str) -> tuple[Pipeline, ...]:
        """The pipelines of these names; all when none is given."""
        known = [pipeline.name for pipeline in self.pipelines]
        for name in names:
            if name not in known:
                raise UsageError(f"{where} has no pipeline '{name}'", hint=allowed(name, known))
        return tuple(pipeline for pipeline in self.pipelines if not names or pipeline.name in names)


def read_file(path: Path, overrides: Mapping[str, Any] | None = None, names: Sequence[str] = ()) -> Config:
    """The file's settings; UsageError names every mistake in it. `overrides` stand over those of the pipelines of
    these names (none given: of all)."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", why=f"byte {error.start} begins no character") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML", why=str(error)) from None
    if overrides and isinstance(raw.get("pipeline"), list):
        for one in raw["pipeline"]:
            if isinstance(one, dict) and (not names or one.get("name") in names):
                one.update(overrides)
    places = Places(str(path), raw)
    try:
        parsed = FileSettings.model_validate(_expanded(raw, places, ()))
    except ValidationError as error:
        raise mistakes(error, places, _keys) from None
    pipelines = tuple(
        _pipeline(settings, places, ("pipeline", number), raw["pipeline"][number])
        for number, settings in enumerate(parsed.pipeline)
    )
    names = [pipeline.name for pipeline in pipelines]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"{path}: two pipelines are named {', '.join(map(repr, doubles))}",
            why="the name is the pipeline's identity at both ends",
            hint="give each [[pipeline]] a name of its own",
        )
    _refuse_shared(path, pipelines)
    return Config(pipelines, parsed.http, parsed.log)


def _refuse_shared(path: Path, pipelines: Sequence[Pipeline]) -> None:
    """Two pipelines of one source with one slot would take changes from each other; and a publication that one of them
    makes, alters and drops is none that another may read. (One made by hand may be read by several.)"""
    for one, other in permutations(pipelines, 2):
        if not one.source.same_server(other.source):
            continue
        where = f'{path}: pipeline "{one.name}", key '
        if one.settings.slot is not None and one.slot == other.slot:
            raise UsageError(
                f"{where}slot: '{one.slot}' is the slot of pipeline \"{other.name}\" too",
                why="what is read from a slot by one is gone for the other",
                hint=f"leave it out: the slot is then {PREFIX}{one.name}",
            )
        same = one.source.database == other.source.database
        if same and one.settings.publication == other.publication and other.settings.publication is None:
            raise UsageError(
                f"{where}publication: '{other.publication}' belongs to pipeline \"{other.name}\"",
                why="that pipeline makes it, alters it as tables join, and drops it",
                hint="leave it out, or make a publication by hand, which any number of pipelines may read",
            )


def from_options(options: Mapping[str, Any], words: Mapping[str, str] | None = None) -> Pipeline:
    """The pipeline that the command line describes: keys as in the file, None for an option not given."""
    given = {key: value for key, value in options.items() if value is not None}
    places = Places(None, given, words)
    try:
        settings = PipelineSettings.model_validate(_expanded(given, places, ()))
    except ValidationError as error:
        raise mistakes(error, places, _keys) from None
    return _pipeline(settings, places, (), given)


def default_name(address: Address) -> str:
    """A pipeline's name where none is given: the source's database, as it is or not at all (never a hash)."""
    name = address.database
    if wrong := wrong_name(name):
        why = f"its source's database is '{name}', but a name {wrong}" if name else "the URL has no database"
        raise UsageError(
            "the pipeline needs a name",
            why=why,
            hint=f"give one with --name (in the file: name = …): it names the slot, {PREFIX}<name>",
        )
    return name


def _pipeline(
    settings: PipelineSettings, places: Places, path: tuple[str | int, ...], written: Mapping[str, Any]
) -> Pipeline:
    source = Address(settings.source.url, settings.source.password_file, places.name((*path, "from")))
    target = Address(settings.target.url, settings.target.password_file, places.name((*path, "to")))
    pipeline = Pipeline(settings.name or default_name(source), source, target, settings, written)
    other = pipeline.slot.removeprefix(PREFIX)
    if pipeline.slot.startswith(PREFIX) and other != pipeline.name:
        raise UsageError(
            f"{places.name((*path, 'slot'))}: '{pipeline.slot}' is the slot of pipeline \"{other}\"",
            why=f"{PREFIX}<name> is made for the pipeline of that name; what one reads from a slot is gone for others",
            hint=f"leave it out: the slot is then {PREFIX}{pipeline.name}; one made by hand needs another name",
        )
    return pipeline


def _expanded(value: Any, places: Places, path: tuple[str | int, ...]) -> Any:
    """`${NAME}` replaced in every string; in those of an endpoint it is only seen that the variable is set, as an
    Address replaces them at each connect."""
    if isinstance(value, str):
        expanded = expand(value, places.name(path))
        return value if {"from", "to"} & set(path[-2:]) else expanded
    if isinstance(value, dict):
        return {key: _expanded(inner, places, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_expanded(inner, places, (*path, number)) for number, inner in enumerate(value)]
    return value


def _keys(path: Sequence[str | int]) -> list[str]:
    """The keys allowed in the table at `path`."""
    model: type[BaseModel] = FileSettings
    for part in path:
        if isinstance(part, int):
            continue
        match part:
            case "pipeline":
                model = PipelineSettings
            case "http":
                model = HttpSettings
            case "log":
                model = LogSettings
            case "from" | "to":
                model = Endpoint
    return [field.alias or name for name, field in model.model_fields.items()]
