"""The parts of one call's run: its clocks, its media and its digits. `call_run` puts them together."""
