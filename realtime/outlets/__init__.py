"""LSL outlets: what the session makes, for LabRecorder and whoever else listens in the lab.

`outlets.py` is what the service holds (`Outlets`); `settings.py` which streams, under which names;
`describe.py` what each says of itself (`Source`: where the data came from); `telemetry.py` the
channels of that stream; `ring.py` the way from the hop path to the thread that sends.
"""
