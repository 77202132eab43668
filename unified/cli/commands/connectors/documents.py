"""`unified connectors install`, `upgrade`, `remove`, `show`, `test`, `sign`: connector documents on this machine."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.commands.connectors import catalogue
from unified.cli.output import out, print_json, say, table
from unified.cli.session import ACTOR, CommandError, Session, asynchronous, open_session
from unified.kit.errors import ConfigurationError
from unified.kit.registry import packaged_adapters
from unified.store.connectors import documents, trust
from unified.store.connectors.documents import StoredDocument
from unified.store.connectors.trust import Deprecation
from unified.store.workspaces import workspaces
from unified.sync.connectors import installing, offers, signatures, templates
from unified.sync.connectors.files import Files
from unified.sync.connectors.offers import Offer

Source = Annotated[
    str,
    typer.Argument(
        help="A document's file, its folder, or the name of a template.",
        metavar="FILE|TEMPLATE",
        show_default=False,
    ),
]
Connector = Annotated[
    str, typer.Argument(help="The connector; `unified connectors list` lists them.", metavar="NAME")
]
Workspace = Annotated[
    str | None,
    typer.Option(help="For this workspace alone; without it, for every workspace.", metavar="WORKSPACE"),
]


@asynchronous
async def install(source: Source, *, workspace: Workspace = None, yes: Yes = False) -> None:
    """Install a connector document: it is checked, tried on its recorded exchanges, and its tables are made.

    `unified dev` shows its assets, schedule and sensor a few seconds later. Who vouches for it and to which hosts its
    requests and secrets may go is shown first.
    """
    async with open_session(begins=True) as session:
        owner = await _workspace(session, workspace)
        offer = await offers.examine(session.db, files_of(source))
        _show(offer)
        if offer.deprecated:
            confirm(f"Install {offer.adapter.name}, which is deprecated ({offer.deprecated})?", yes=yes)
        elif offer.tier in ("third_party", "unsigned"):
            confirm(f"Install {offer.adapter.name}?", yes=yes)
        await installing.install(session.db, owner, offer, actor=ACTOR, agreed=bool(offer.deprecated))
    whom, where = (workspace, f" --workspace {workspace}") if workspace else ("every workspace", "")
    say(
        f"Installed {offer.adapter.name} {offer.document.version} for {whom}; `unified connections add "
        f"{offer.adapter.name} NAME{where}` connects it."
    )


@asynchronous
async def upgrade(source: Source, *, workspace: Workspace = None, yes: Yes = False) -> None:
    """Replace an installed connector document by another version, and map stored raw records anew.

    Without --workspace, wherever it is installed. What changes is shown first: hosts, scopes, secrets, streams, rules.
    Where it reaches further than before, you are asked.
    """
    async with open_session() as session:
        owner = await _workspace(session, workspace)
        offer = await offers.examine(session.db, files_of(source))
        changed = await installing.compare(session.db, owner, offer)
        _show(offer)
        for line in changed.lines():
            out.print(line, markup=False, highlight=False)
        if changed.grows:
            confirm(f"Let {offer.adapter.name} reach further ({'; '.join(changed.growth())})?", yes=yes)
        done = await installing.upgrade(session.db, owner, offer, agreed=changed.grows, actor=ACTOR)
    say(f"Upgraded {offer.adapter.name} from {done.before} to {offer.document.version}.")
    for key, results in done.remapped.items():
        changed_now, read = (sum(getattr(one, name) for one in results) for name in ("updated", "read"))
        say(f"{key}: {changed_now} of {read} stored records changed.")
    for key, reason in done.not_remapped.items():
        say(f"{key}: its stored records are as they were ({reason}); `unified remap {key}` maps them anew.")


@asynchronous
async def remove(name: Connector, *, workspace: Workspace = None, yes: Yes = False) -> None:
    """Remove an installed connector document. It is refused while connections use it; its tables stay, empty."""
    async with open_session() as session:
        owner = await _workspace(session, workspace)
        confirm(f"Remove the connector {name}?", yes=yes)
        ended = await installing.remove(session.db, owner, name, actor=ACTOR)
    say(
        f"Removed {name} {ended.version}. What was installed, and by whom, stays in `unified connectors show {name}`."
    )


@asynchronous
async def show(name: Connector, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show the documents of a connector that are installed, and those that were, the newest first.

    Of a connector that comes with a package: what it reads, where that lands, and what it needs.
    """
    if (packaged := packaged_adapters().get(name)) is not None:
        catalogue.show_packaged(packaged, as_json=as_json)
        return
    async with open_session() as session:
        owner = await _workspace(session, workspace)
        found = (
            await documents.installed(session.db, name, history=True)
            if owner is None
            else await documents.seen_by(session.db, owner, name, history=True)
        )
        if not found:
            raise documents.DocumentNotFoundError(name)
        slugs = {one.id: one.slug for one in await workspaces.listed(session.db)}
        advised = await trust.deprecations(session.db)
    if as_json:
        print_json([_shown(one, slugs, advised) for one in found])
        return
    table(
        ("FOR", "VERSION", "TIER", "STATE", "INSTALLED", "BY", "ENDED", "BY", "HASH"),
        (
            (
                slugs.get(one.workspace_id, "-") if one.workspace_id else "every workspace",
                one.version,
                one.tier,
                one.state,
                one.installed_at,
                one.installed_by,
                one.ended_at,
                one.ended_by,
                one.hash,
            )
            for one in found
        ),
        empty="",
    )
    for one in found:
        if one.state == "installed" and (reason := trust.why_deprecated(advised, one.connector, one.hash)):
            say(f"Version {one.version} is deprecated: {reason}")


@asynchronous
async def test(source: Source) -> None:
    """Check a document and try it on its recorded exchanges, offline; of an installed connector, those it came with."""
    try:
        files = files_of(source)
    except CommandError:
        async with open_session() as session:
            found = await documents.installed(session.db, source)
        if not found:
            raise
        exchanges = None if found[0].exchanges is None else found[0].exchanges.encode()
        files = Files(f"the installed document of {source}", found[0].source.encode(), exchanges)
    count = await offers.tried(files)
    if count is None:
        raise CommandError(
            f"{files.name} is a document that can be installed, and has no recorded exchanges to be tried on: put them "
            "beside it (docs/connectors.md)"
        )
    say(f"{files.name}: {_as_expected(count)}.")


def sign(
    document: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The document's file.", metavar="FILE")
    ],
    *,
    key: Annotated[
        Path,
        typer.Option(
            exists=True, dir_okay=False, help="Your private key, as `unified connectors keys new` makes it."
        ),
    ],
) -> None:
    """Sign a document: the signature goes into a file beside it, FILE.sig."""
    read, _ = offers.read_document(Files.of(document))
    signature = signatures.sign(read.hash, key.read_bytes())
    target = document.with_name(document.name + signatures.SUFFIX)
    target.write_text(signature.as_file())
    say(f"Signed version {read.version} of {read.id} ({read.hash}) in {target}.")


def files_of(source: str) -> Files:
    """The files of a document, or of a template of that name."""
    path = Path(source)
    if path.exists():
        return Files.of(path)
    try:
        return templates.template(source)
    except ConfigurationError as error:
        raise CommandError(f"there is no file {source}, and {error}") from None


def _as_expected(count: int) -> str:
    return f"{count:,} {'record' if count == 1 else 'records'}, all as expected"


async def _workspace(session: Session, slug: str | None) -> UUID | None:
    return None if slug is None else (await workspaces.find(session.db, slug)).id


def _show(offer: Offer) -> None:
    """What a person looks at before an installation."""
    adapter = offer.adapter
    tried = "none" if offer.records is None else _as_expected(offer.records)
    signer = f", signed by {offer.signer}" if offer.signer else ""
    for line in (
        *([f"Deprecated: {offer.deprecated}"] if offer.deprecated else []),
        f"{adapter.display_name} ({adapter.name}) {offer.document.version}, hash {offer.document.hash}",
        f"Tier: {offer.tier.replace('_', ' ')}{signer}",
        f"Hosts: {', '.join(adapter.config_model.hosts) or 'the one of base_url'}",
        f"Secrets: {', '.join(field.name for field in adapter.credential_fields) or 'none'}",
        f"Streams: {', '.join(f'{stream.name} → {stream.entity.table}' for stream in adapter.all_streams())}",
        f"Recorded exchanges: {tried}",
    ):
        out.print(line, markup=False, highlight=False)


def _shown(one: StoredDocument, slugs: dict[UUID, str], advised: dict[str, Deprecation]) -> dict[str, object]:
    shown = {name: getattr(one, name) for name in documents.SHOWN}
    return {
        **shown,
        "deprecated": trust.why_deprecated(advised, one.connector, one.hash),
        "workspace": slugs.get(one.workspace_id) if one.workspace_id else None,
    }
