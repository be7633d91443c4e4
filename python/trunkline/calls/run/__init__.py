"""The run of one call: its loop (`call_run`), what it does (`performer`) and the parts that it does that with."""
