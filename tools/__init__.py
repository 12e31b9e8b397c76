"""What a person runs: the `seegvox` command. Nothing imports this room."""
