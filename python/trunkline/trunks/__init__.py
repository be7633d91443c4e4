"""Trunks: SIP peers that are configured, not users. Decisions only, without I/O; `calls.trunks` carries them out.

What a trunk is (`model`), how it writes numbers (`numbers`), whom it is told calls (`identity`), whether it is there
(`health`), how much it may carry (`limits`), which one a call takes (`choice`), and who may call in (`doorkeeper`).
"""
