"""Vocoders where there is torch and time: WaveGlow, and the trainer of the neural one."""
