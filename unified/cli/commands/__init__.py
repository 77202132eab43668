"""The subcommands of ``unified``, a module each."""
