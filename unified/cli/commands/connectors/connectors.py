"""`unified connectors`: its subcommands, put together; by itself it lists."""

import typer

from unified.cli.arguments import AsJson
from unified.cli.commands.connectors import (
    catalogue,
    deprecating,
    documents,
    importing,
    keys,
    starting,
    trying,
)

app = typer.Typer(
    add_completion=False,
    help="List the systems that can be connected, and what each needs; install further ones.",
)
app.command("list")(catalogue.list_connectors)
app.command("new")(starting.new)
app.command("show")(documents.show)
app.command("install")(documents.install)
app.command("upgrade")(documents.upgrade)
app.command("remove")(documents.remove)
app.command("test")(documents.test)
app.command("try")(trying.try_document)
app.command("sign")(documents.sign)
app.command("revoke")(keys.revoke)
app.command("deprecate")(deprecating.deprecate)
app.command("reinstate")(deprecating.reinstate)
app.command("deprecations")(deprecating.deprecations)
app.add_typer(keys.app, name="keys")
app.add_typer(importing.app, name="import")
app.command("draft")(importing.draft_connector)


@app.callback(invoke_without_command=True)
def connectors(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the systems that can be connected, and what each needs; install further ones."""
    if context.invoked_subcommand is None:
        catalogue.list_connectors(as_json=as_json)
