"""The subcommands of ``unified``, a module for each kind of thing; which is which says `unified.cli.main`."""
