"""`unified apply`: connections as code. What a file may say, and how it is compared: `unified.sync.declared`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.installation import is_embedded, migrate_database
from unified.cli.output import out, print_json, say, table
from unified.cli.public_url import PublicUrl, public_url_of, say_whether_reachable
from unified.cli.session import (
    ACTOR,
    DEFAULT_WORKSPACE,
    CommandError,
    Session,
    UsageError,
    asynchronous,
    open_session,
)
from unified.sync.declared.export import export
from unified.sync.declared.plan import plan
from unified.sync.declared.reading import Declared, read_document
from unified.sync.declared.references import References
from unified.sync.declared.steps import Ground, Outcome, Step, carry_out

_WORDS = {
    "add": "to add",
    "change": "to change",
    "same": "as the file says",
    "extra": "not in the file",
    "refused": "refused",
}
_DONE = {"add": "added", "change": "changed", "extra": "removed"}


@asynchronous
async def apply(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A file of connections (docs/apply.md).", metavar="FILE", exists=True, dir_okay=False
        ),
    ] = None,
    *,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Only show how the workspace differs from the file.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove what is not in the file: a connection goes with its records."),
    ] = False,
    yes: Yes = False,
    export_: Annotated[
        bool, typer.Option("--export", help="Instead: print a file of what a workspace has, without secrets.")
    ] = False,
    workspace: Annotated[
        str | None, typer.Option(help="With --export: the workspace; by default `default`.")
    ] = None,
    no_test: Annotated[
        bool, typer.Option("--no-test", help="Do not try credentials at the provider first.")
    ] = False,
    public_url: PublicUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace's connections, webhooks, field rules and routes as a file says.

    Doing it twice changes nothing. What is not in the file is shown, and stays without --prune. Each thing is done by
    itself: one that fails leaves the others alone, and the exit code is then not 0. Secrets are not in the file. It
    says where they are: env:NAME, file:PATH, vault:MOUNT/PATH#FIELD.
    """
    if (file is None) != export_:
        raise UsageError("say which FILE to apply, or --export")
    if export_:
        if plan_only or prune:
            raise UsageError("--plan and --prune go with a FILE, not with --export")
        async with open_session() as session:
            typer.echo(
                await export(_ground(session, workspace or DEFAULT_WORKSPACE, Path(), public_url)), nl=False
            )
        return
    if workspace:
        raise UsageError("--workspace goes with --export; a FILE names its workspace itself")
    assert file is not None  # noqa: S101 - as above
    declared = read_document(file.read_bytes(), str(file))
    async with open_session(begins=True) as session:
        if is_embedded():
            migrate_database(session.db.url)  # an adapter may have been installed just now
        ground = _ground(session, declared.document.workspace, file.parent, public_url, test=not no_test)
        steps = await plan(ground, declared.document)
        if plan_only:
            _show_plan(declared, steps, as_json=as_json)
        else:
            if prune and (extra := [one for one in steps if one.action == "extra"]):
                names = ", ".join(f"{one.kind} {one.name}" for one in extra)
                confirm(f"Remove what is not in the file: {names}?", yes=yes)
            outcomes = [one async for one in carry_out(steps, prune=prune)]
            if any(
                one.is_done and (one.step.kind, one.step.action) == ("webhook", "add") for one in outcomes
            ):
                say_whether_reachable(ground.public_url)
            _show_outcomes(declared, outcomes, as_json=as_json)


def _ground(
    session: Session, workspace: str, folder: Path, public_url: str | None, *, test: bool = True
) -> Ground:
    return Ground(
        db=session.db,
        credentials=session.credentials(),
        references=References(folder, os.environ),
        actor=ACTOR,
        workspace=workspace,
        public_url=public_url_of(public_url),
        test=test,
    )


def _show_plan(declared: Declared, steps: Sequence[Step], *, as_json: bool) -> None:
    if as_json:
        print_json([_described(declared, one) for one in steps])
    else:
        _table(declared, [(one, _WORDS[one.action], one.detail) for one in steps])
    if refused := [one for one in steps if one.action == "refused"]:
        raise CommandError(_refusals(declared, refused))


def _show_outcomes(declared: Declared, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    **_described(declared, one.step),
                    "is_done": one.is_done,
                    "error": one.error,
                    "remarks": one.remarks,
                }
                for one in outcomes
            ]
        )
    else:
        _table(declared, [(one.step, _word(one), one.step.detail) for one in outcomes])
        for one in outcomes:
            for remark in one.remarks:
                out.print(f"{one.step.kind} {one.step.name}: {remark}", soft_wrap=True)
        extra = [one for one in outcomes if one.step.action == "extra" and not one.is_done and not one.error]
        if extra:
            say(f"{len(extra)} thing(s) are there and not in the file; --prune removes them.")
    failed = [one for one in outcomes if one.error or one.step.action == "refused"]
    if failed:
        steps = [one.step for one in failed if one.step.action == "refused"]
        said = [
            f"{_place(declared, one.step)}: {one.step.kind} {one.step.name}: {one.error}"
            for one in failed
            if one.error
        ]
        raise CommandError("; ".join([*said, *([_refusals(declared, steps)] if steps else [])]))


def _table(declared: Declared, rows: Sequence[tuple[Step, str, Sequence[str]]]) -> None:
    table(
        ("LINE", "WHAT", "NAME", "IS", "DETAIL"),
        (
            (
                str(declared.line(step.path)) if step.path else None,
                step.kind,
                step.name,
                word,
                "; ".join(detail),
            )
            for step, word, detail in rows
        ),
        empty="The file says nothing, and the workspace has nothing.",
    )


def _word(outcome: Outcome) -> str:
    if outcome.error:
        return "failed"
    return _DONE[outcome.step.action] if outcome.is_done else _WORDS[outcome.step.action]


def _described(declared: Declared, step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "name": step.name,
        "action": step.action,
        "detail": list(step.detail),
        "line": declared.line(step.path) if step.path else None,
    }


def _refusals(declared: Declared, steps: Sequence[Step]) -> str:
    return "; ".join(
        f"{_place(declared, one)}: {one.kind} {one.name}: {', '.join(one.detail)}" for one in steps
    )


def _place(declared: Declared, step: Step) -> str:
    return f"{declared.source.name}:{declared.line(step.path)}" if step.path else declared.source.name
