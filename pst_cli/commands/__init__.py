"""The subcommands of `pst`, one file each."""
