"""What a decoder is, without torch: spec, contract, hop clock, front end, mel, bundle."""
