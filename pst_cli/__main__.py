"""`python -m pst_cli` is `pst`."""

from pst_cli.cli import main

if __name__ == "__main__":
    main()
