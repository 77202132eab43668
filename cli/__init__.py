"""The `unified` command: `cli.main` is where it begins."""
