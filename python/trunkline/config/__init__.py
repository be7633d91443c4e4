"""The settings of a node, as frozen nested models: `load` reads them, `Config()` is the defaults.

`sections` and `sip` describe every setting with unit, default, range and the reason to change it; `loading` knows the
sources.
"""

from trunkline.config.loading import Config, load
from trunkline.config.recording import RecordingConfig
from trunkline.config.registrar import PageUserConfig, RegistrarConfig
from trunkline.config.sections import (
    AudioCodecName,
    CallsConfig,
    DemoConfig,
    HttpConfig,
    LogConfig,
    MediaConfig,
    NodeConfig,
    TlsConfig,
)
from trunkline.config.sip import SipConfig, SipTlsConfig

__all__ = [
    "AudioCodecName",
    "CallsConfig",
    "Config",
    "DemoConfig",
    "HttpConfig",
    "LogConfig",
    "MediaConfig",
    "NodeConfig",
    "PageUserConfig",
    "RecordingConfig",
    "RegistrarConfig",
    "SipConfig",
    "SipTlsConfig",
    "TlsConfig",
    "load",
]
