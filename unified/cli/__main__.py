"""`python -m cli`: the `unified` command, for processes that start it and can't rely on PATH."""

from unified.cli.main import main

if __name__ == "__main__":
    main()
