//! Commands from the dataclasses of `trunkline.media.types`, events to theirs, errors to `trunkline.errors`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::bridge::{Dtmf, Muted, StreamParameters, Voice};
use crate::codecs::Codec;
use crate::dtls::Fingerprint;
use crate::dtmf::{Digit, Kind as DtmfKind};
use crate::endpoint::{Direction, EndpointId, Remote, RtcpParameters, Security};
use crate::engine::{
    Command, EngineConfig, Event, Local, PlaySource, RecordingFormat, RecordingOptions, TapTarget, Totals,
    TransportKind,
};
use crate::error::MediaError;
use crate::net::{Pt, SrtpKeys, SrtpProfile};
use crate::pipeline::{Format, Source};

use super::figures;
use super::values::value;

/// The exception of `trunkline.errors` for a refusal.
pub(super) fn raise(py: Python<'_>, error: &MediaError) -> PyErr {
    let exception = || {
        let errors = py.import("trunkline.errors")?;
        match error {
            MediaError::Capacity(_) => errors.getattr("CapacityError")?.call1((error.to_string(),)),
            _ => errors.getattr("MediaError")?.call1((error.kind(), error.to_string())),
        }
    };
    exception().map_or_else(|error| error, PyErr::from_value)
}

/// An `EngineConfig` from `EngineSettings`.
pub(super) fn config(settings: &Bound<'_, PyAny>) -> PyResult<EngineConfig> {
    let seconds = |name: &str| -> PyResult<Duration> {
        let value: f64 = field(settings, name)?;
        Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(format!("{name}: {error}")))
    };
    let (webrtc_host, webrtc_port): (String, u16) = (field(settings, "webrtc_host")?, field(settings, "webrtc_port")?);
    let webrtc_advertised: Vec<String> = field(settings, "webrtc_advertised")?;
    let rtp_host: String = field(settings, "rtp_host")?;
    let rtp_advertised: Vec<String> = field(settings, "rtp_advertised")?;
    Ok(EngineConfig {
        workers: field(settings, "workers")?,
        webrtc_bind: SocketAddr::new(ip(&webrtc_host)?, webrtc_port),
        webrtc_advertised: webrtc_advertised.iter().map(|text| ip(text)).collect::<PyResult<_>>()?,
        rtp_bind: ip(&rtp_host)?,
        rtp_ports: (field(settings, "rtp_port_min")?, field(settings, "rtp_port_max")?),
        rtp_advertised: rtp_advertised.iter().map(|text| ip(text)).collect::<PyResult<_>>()?,
        port_quarantine: seconds("port_quarantine_s")?,
        first_packet: seconds("first_packet_s")?,
        media_inactivity: seconds("media_inactivity_s")?,
        media_inactivity_hold: seconds("media_inactivity_hold_s")?,
        ice_consent: seconds("ice_consent_s")?,
        setup_timeout: seconds("dtls_timeout_s")?,
        opus_complexity: field(settings, "opus_complexity")?,
        opus_bitrate_bps: field(settings, "opus_bitrate_bps")?,
        leaves_silence_out: field(settings, "silence_suppression")?,
        clip_memory_bytes: field::<usize>(settings, "clip_memory_mb")?.saturating_mul(1024 * 1024),
        longest_pause: Duration::from_micros(field(settings, "longest_pause_us")?),
        dscp: field(settings, "dscp")?,
        is_pinned: field(settings, "pin_workers")?,
        command_queue: field(settings, "command_queue")?,
        event_queue: field(settings, "event_queue")?,
    })
}

/// A command by its `kind`.
pub(super) fn command(command: &Bound<'_, PyAny>) -> PyResult<Command> {
    let endpoint = |name: &str| -> PyResult<EndpointId> { field(command, name).map(EndpointId) };
    let kind: String = field(command, "kind")?;
    Ok(match kind.as_str() {
        "create_endpoint" => Command::CreateEndpoint {
            endpoint: endpoint("endpoint")?,
            transport: transport(&attribute(command, "transport")?)?,
        },
        "set_remote" => Command::SetRemote {
            endpoint: endpoint("endpoint")?,
            remote: remote(&attribute(command, "remote")?)?,
            audio: stream_parameters(&attribute(command, "audio")?)?,
        },
        "update_endpoint" => Command::UpdateEndpoint {
            endpoint: endpoint("endpoint")?,
            direction: direction(&field::<String>(command, "direction")?)?,
        },
        "expect_media" => Command::ExpectMedia { endpoint: endpoint("endpoint")? },
        "bridge" => Command::Bridge { a: endpoint("a")?, b: endpoint("b")? },
        "unbridge" => Command::Unbridge { endpoint: endpoint("endpoint")? },
        "play" => Command::Play { endpoint: endpoint("endpoint")?, source: source(&attribute(command, "source")?)? },
        "stop_play" => Command::StopPlay { endpoint: endpoint("endpoint")? },
        "mute" => Command::Mute {
            endpoint: endpoint("endpoint")?,
            voice: voice(&field::<String>(command, "voice")?)?,
            muted: if field(command, "includes_digits")? { Muted::AudioAndDigits } else { Muted::Audio },
        },
        "unmute" => Command::Mute {
            endpoint: endpoint("endpoint")?,
            voice: voice(&field::<String>(command, "voice")?)?,
            muted: Muted::Nothing,
        },
        "start_tap" => Command::StartTap {
            endpoint: endpoint("endpoint")?,
            target: TapTarget::File(RecordingOptions {
                path: field::<String>(command, "path")?.into(),
                format: match field::<String>(command, "format")?.as_str() {
                    "wav" => RecordingFormat::Wav,
                    "ogg" => RecordingFormat::OggOpus,
                    other => return Err(PyValueError::new_err(format!("unknown format: {other}"))),
                },
                plays_digits: field(command, "plays_digits")?,
            }),
        },
        "stop_tap" => Command::StopTap { endpoint: endpoint("endpoint")? },
        "send_dtmf" => Command::SendDtmf {
            endpoint: endpoint("endpoint")?,
            digits: digits(&field::<String>(command, "digits")?)?,
            duration_ms: field(command, "duration_ms")?,
            gap_ms: field(command, "gap_ms")?,
        },
        "get_stats" => Command::GetStats { endpoint: endpoint("endpoint")? },
        "close" => Command::Close { endpoint: endpoint("endpoint")? },
        other => return Err(PyValueError::new_err(format!("unknown command: {other}"))),
    })
}

/// An event's dataclass, made from its fields.
macro_rules! told {
    ($py:expr, $class:literal, $fields:tt) => {
        value!($py, "trunkline.media.types.events", $class, $fields)
    };
}

/// An event as the dataclass of its name in `trunkline.media.types.events`.
pub(super) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::CommandDone { request } => {
            told!(py, "CommandDone", { "request": request.0 })
        }
        Event::CommandFailed { request, kind, message } => {
            told!(py, "CommandFailed", {
                "request": request.0,
                "error_kind": kind,
                "message": message,
            })
        }
        Event::EndpointReady { request, endpoint, local } => {
            told!(py, "EndpointReady", {
                "request": request.0,
                "endpoint": endpoint.0,
                "local": local_description(py, local)?,
            })
        }
        Event::IceStateChanged { call, endpoint, remote } => {
            told!(py, "IceStateChanged", {
                "call": call.0,
                "endpoint": endpoint.0,
                "state": if remote.is_some() { "connected" } else { "disconnected" },
                "remote": remote.map(address),
            })
        }
        Event::DtlsStateChanged { call, endpoint, result } => {
            let state = if result.is_ok() { "connected" } else { "failed" };
            let (Ok(detail) | Err(detail)) = result;
            told!(py, "DtlsStateChanged", {
                "call": call.0,
                "endpoint": endpoint.0,
                "state": state,
                "detail": detail,
            })
        }
        Event::FirstPacket { call, endpoint } => {
            told!(py, "FirstPacket", { "call": call.0, "endpoint": endpoint.0 })
        }
        Event::FirstPacketMissing { call, endpoint, waited } => {
            told!(py, "FirstPacketMissing", {
                "call": call.0,
                "endpoint": endpoint.0,
                "waited_s": waited.as_secs_f64(),
            })
        }
        Event::MediaInactive { call, endpoint, idle } => {
            told!(py, "MediaInactive", {
                "call": call.0,
                "endpoint": endpoint.0,
                "idle_s": idle.as_secs_f64(),
            })
        }
        Event::DtmfReceived { call, endpoint, digit, duration_ms, by } => {
            told!(py, "DtmfReceived", {
                "call": call.0,
                "endpoint": endpoint.0,
                "digit": digit,
                "duration_ms": duration_ms,
                "by": by.name(),
            })
        }
        Event::PlayDone { call, endpoint } => {
            told!(py, "PlayDone", { "call": call.0, "endpoint": endpoint.0 })
        }
        Event::TapDone(report) => {
            told!(py, "TapDone", {
                "call": report.call.0,
                "endpoint": report.endpoint.0,
                "reason": report.reason,
                "detail": report.detail,
                "path": report.path.to_string_lossy(),
                "seconds": report.seconds,
                "bytes": report.bytes,
                "dropped_ms": report.dropped_ms,
            })
        }
        Event::Stats { request, endpoint, stats } => {
            told!(py, "Stats", {
                "request": request.0,
                "endpoint": endpoint.0,
                "stats": figures::stats(py, &stats)?,
            })
        }
        Event::EndpointClosed { call, endpoint, reason, request, stats } => {
            told!(py, "EndpointClosed", {
                "call": call.0,
                "endpoint": endpoint.0,
                "reason": reason,
                "request": request.map(|request| request.0),
                "stats": stats.map(|stats| figures::stats(py, &stats)).transpose()?,
            })
        }
        Event::BridgeFailed { call, reason } => {
            told!(py, "BridgeFailed", { "call": call.0, "reason": reason })
        }
        Event::WorkerDied { worker, reason } => {
            told!(py, "WorkerDied", { "worker": worker, "reason": reason })
        }
    }
}

/// Counters by name; drops by reason under `drops`.
pub(super) fn totals<'py>(py: Python<'py>, totals: &Totals) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("datagrams_received", totals.datagrams_received)?;
    fields.set_item("datagrams_sent", totals.datagrams_sent)?;
    fields.set_item("turns", totals.turns)?;
    fields.set_item("pause_us", totals.pause_us)?;
    fields.set_item("pause_delay_us", totals.pause_delay_us)?;
    fields.set_item("endpoints", totals.endpoints)?;
    fields.set_item("ports_free", totals.ports_free)?;
    fields.set_item("ports_resting", totals.ports_resting)?;
    fields.set_item("events_lost", totals.events_lost)?;
    fields.set_item("bridges_failed", totals.bridges_failed)?;
    fields.set_item("recordings", totals.recordings)?;
    fields.set_item("recordings_failed", totals.recordings_failed)?;
    fields.set_item("recording_dropped_ms", totals.recording_dropped_ms)?;
    let drops = PyDict::new(py);
    for (reason, count) in &totals.drops {
        drops.set_item(reason, count)?;
    }
    fields.set_item("drops", drops)?;
    Ok(fields)
}

/// A local description as its dataclass.
fn local_description(py: Python<'_>, local: Local) -> PyResult<Bound<'_, PyAny>> {
    match local {
        Local::WebRtc { candidates, ice_ufrag, ice_pwd, fingerprint, ssrc, cname } => {
            value!(py, "trunkline.media.types.transports", "WebRtcLocal", {
                "candidates": PyTuple::new(py, candidates.into_iter().map(address))?,
                "ice_ufrag": ice_ufrag,
                "ice_pwd": ice_pwd,
                "fingerprint": fingerprint,
                "ssrc": ssrc.0,
                "cname": cname,
            })
        }
        Local::Rtp { addresses, fingerprint, ssrc, cname } => {
            let mut pairs = addresses.into_iter().map(|(rtp, rtcp)| (address(rtp), address(rtcp)));
            // The engine advertises at least one address.
            let (rtp, rtcp) = pairs.next().unzip();
            value!(py, "trunkline.media.types.transports", "RtpLocal", {
                "rtp": rtp,
                "rtcp": rtcp,
                "ssrc": ssrc.0,
                "cname": cname,
                "fingerprint": fingerprint,
                "other_family": pairs.next(),
            })
        }
    }
}

fn transport(transport: &Bound<'_, PyAny>) -> PyResult<TransportKind> {
    match field::<String>(transport, "kind")?.as_str() {
        "webrtc" => Ok(TransportKind::WebRtc),
        "rtp" => Ok(TransportKind::Rtp { is_muxed: field(transport, "rtcp_mux")? }),
        other => Err(PyValueError::new_err(format!("unknown transport: {other}"))),
    }
}

fn remote(remote: &Bound<'_, PyAny>) -> PyResult<Remote> {
    match field::<String>(remote, "kind")?.as_str() {
        "webrtc" => {
            Ok(Remote::WebRtc { fingerprints: fingerprints(remote)?, is_dtls_client: field(remote, "is_dtls_client")? })
        }
        "rtp" => Ok(Remote::Rtp {
            rtp: socket_address(&attribute(remote, "rtp")?)?,
            rtcp: socket_address(&attribute(remote, "rtcp")?)?,
            is_muxed: field(remote, "rtcp_mux")?,
            security: security(&attribute(remote, "security")?)?,
        }),
        other => Err(PyValueError::new_err(format!("unknown remote: {other}"))),
    }
}

fn security(security: &Bound<'_, PyAny>) -> PyResult<Security> {
    if security.is_none() {
        return Ok(Security::Clear);
    }
    match field::<String>(security, "kind")?.as_str() {
        "sdes" => {
            let suite: String = field(security, "suite")?;
            let profile = SrtpProfile::from_sdes_name(&suite);
            let profile = profile.ok_or_else(|| PyValueError::new_err(format!("unknown crypto suite: {suite}")))?;
            Ok(Security::Sdes(SrtpKeys {
                profile,
                local_key: field(security, "local_key")?,
                local_salt: field(security, "local_salt")?,
                remote_key: field(security, "remote_key")?,
                remote_salt: field(security, "remote_salt")?,
            }))
        }
        "dtls" => Ok(Security::Dtls {
            fingerprints: fingerprints(security)?,
            is_dtls_client: field(security, "is_dtls_client")?,
        }),
        other => Err(PyValueError::new_err(format!("unknown security: {other}"))),
    }
}

fn fingerprints(holder: &Bound<'_, PyAny>) -> PyResult<Vec<Fingerprint>> {
    let pairs: Vec<(String, String)> = field(holder, "fingerprints")?;
    // A hash that we do not take is no fault: RFC 8122 lets an offer carry several.
    let fingerprints: Vec<_> = pairs.iter().filter_map(|(hash, hex)| Fingerprint::parse(hash, hex)).collect();
    if fingerprints.is_empty() {
        return Err(raise(holder.py(), &MediaError::InvalidParameter("no usable fingerprint".into())));
    }
    Ok(fingerprints)
}

fn stream_parameters(audio: &Bound<'_, PyAny>) -> PyResult<StreamParameters> {
    Ok(StreamParameters {
        receive: formats(&attribute(audio, "receive")?)?,
        send: formats(&attribute(audio, "send")?)?,
        ptime_ms: field(audio, "ptime_ms")?,
        direction: direction(&field::<String>(audio, "direction")?)?,
        dtmf: dtmf(&attribute(audio, "dtmf")?)?,
        rtcp: RtcpParameters {
            is_reduced_size: field(&attribute(audio, "rtcp")?, "is_reduced_size")?,
            sends_voip_metrics: field(&attribute(audio, "rtcp")?, "sends_voip_metrics")?,
        },
    })
}

fn formats(codecs: &Bound<'_, PyAny>) -> PyResult<Vec<Format>> {
    codecs.try_iter()?.map(|codec| format(&codec?)).collect()
}

fn format(codec: &Bound<'_, PyAny>) -> PyResult<Format> {
    let pt: u8 = field(codec, "payload_type")?;
    let name: String = field(codec, "name")?;
    let parameters: Vec<(String, String)> = field(codec, "parameters")?;
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let made = Codec::new(&name, field(codec, "clock_rate")?, field(codec, "channels")?, pairs);
    match made {
        Ok(made) if pt < 128 => Ok(Format { pt: Pt(pt), codec: made }),
        Ok(_) => Err(PyValueError::new_err(format!("payload type {pt}"))),
        Err(error) => Err(raise(codec.py(), &MediaError::UnsupportedCodec(format!("{name}: {error}")))),
    }
}

fn source(source: &Bound<'_, PyAny>) -> PyResult<PlaySource> {
    Ok(match field::<String>(source, "kind")?.as_str() {
        "tone" => PlaySource::Ready(Source::Tone {
            frequencies_hz: field(source, "frequencies_hz")?,
            level_dbm0: field(source, "level_dbm0")?,
            cadence_ms: field(source, "cadence_ms")?,
        }),
        "dtmf_tones" => PlaySource::Ready(Source::Digits {
            digits: digits(&field::<String>(source, "digits")?)?,
            on_ms: field(source, "on_ms")?,
            off_ms: field(source, "off_ms")?,
        }),
        "file" => PlaySource::File { path: field::<String>(source, "path")?.into(), is_looped: field(source, "loop")? },
        other => return Err(PyValueError::new_err(format!("unknown source: {other}"))),
    })
}

fn digits(text: &str) -> PyResult<Vec<Digit>> {
    let digit = |character| {
        Digit::from_char(character).ok_or_else(|| PyValueError::new_err(format!("not a DTMF digit: {character:?}")))
    };
    text.chars().map(digit).collect()
}

fn voice(text: &str) -> PyResult<Voice> {
    match text {
        "says" => Ok(Voice::Says),
        "hears" => Ok(Voice::Hears),
        other => Err(PyValueError::new_err(format!("unknown voice: {other}"))),
    }
}

fn dtmf(dtmf: &Bound<'_, PyAny>) -> PyResult<Dtmf> {
    let name: String = field(dtmf, "sent")?;
    let sent = DtmfKind::ALL.into_iter().find(|kind| kind.name() == name);
    let sent = sent.ok_or_else(|| PyValueError::new_err(format!("unknown kind of DTMF: {name}")))?;
    Ok(Dtmf { sent, hears_tones: field(dtmf, "hears_tones")? })
}

fn direction(text: &str) -> PyResult<Direction> {
    match text {
        "sendrecv" => Ok(Direction::SendRecv),
        "sendonly" => Ok(Direction::SendOnly),
        "recvonly" => Ok(Direction::RecvOnly),
        "inactive" => Ok(Direction::Inactive),
        other => Err(PyValueError::new_err(format!("unknown direction: {other}"))),
    }
}

pub(super) fn address(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

fn socket_address(pair: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let (host, port): (String, u16) = pair.extract()?;
    Ok(SocketAddr::new(ip(&host)?, port))
}

fn ip(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {text:?}")))
}

fn attribute<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    object.getattr(name)
}

fn field<'py, T: FromPyObjectOwned<'py>>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    object.getattr(name)?.extract::<T>().map_err(Into::into)
}
