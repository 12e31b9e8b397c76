"""The torch modules; only `training/` imports them."""
