"""The `unified` command: `unified.cli.main` is where it begins."""
