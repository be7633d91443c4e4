//! The engine's one typed configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::error::MediaError;

/// How the media plane runs. Checked once, at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// Where the browser side listens: worker `n` takes the port plus `n`, or any port if it is 0.
    pub webrtc_bind: SocketAddr,
    /// Addresses for our ICE candidates; empty: the bound one, or every address of the machine when bound to all.
    pub webrtc_advertised: Vec<IpAddr>,
    /// Where the SIP side's RTP is bound.
    pub rtp_bind: IpAddr,
    /// First and last port of the SIP side.
    pub rtp_ports: (u16, u16),
    /// Addresses for our SDP, the first of each family counts; empty: the bound one, or the machine's main address of
    /// each family when bound to all.
    pub rtp_advertised: Vec<IpAddr>,
    /// How long a port rests after use.
    pub port_quarantine: Duration,
    /// From `ExpectMedia` until the first packet, else `FirstPacketMissing`; zero: as long as `media_inactivity`.
    pub first_packet: Duration,
    /// Silence after which `MediaInactive` is reported; zero is never.
    pub media_inactivity: Duration,
    /// The same while the stream does not flow both ways (a hold); zero is never.
    pub media_inactivity_hold: Duration,
    /// How long an ICE path stays usable without a check (RFC 7675).
    pub ice_consent: Duration,
    /// From the browser's description until media can flow.
    pub setup_timeout: Duration,
    /// Opus encoder complexity, 0 to 10; `None` is what suits the sample rate.
    pub opus_complexity: Option<u8>,
    /// Opus encoder bitrate.
    pub opus_bitrate_bps: u32,
    /// Whether silence is looked for in audio that we code for who takes comfort noise packets (RFC 3389).
    pub leaves_silence_out: bool,
    /// Decoded audio files in memory: those being played, and those that may be wanted again.
    pub clip_memory_bytes: usize,
    /// How long a busy worker may sleep on although packets arrive, to take more of them at a time; zero is never.
    pub longest_pause: Duration,
    /// Class of the packets that we send, 0 to 63 (RFC 2474).
    pub dscp: u8,
    /// Whether each worker stays on a core of its own.
    pub is_pinned: bool,
    /// Commands that may wait for one worker.
    pub command_queue: usize,
    /// Events that may wait for the controller.
    pub event_queue: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            workers: 0,
            webrtc_bind: SocketAddr::new(local, 0),
            webrtc_advertised: Vec::new(),
            rtp_bind: local,
            rtp_ports: (31_000, 32_999),
            rtp_advertised: Vec::new(),
            port_quarantine: Duration::from_secs(10),
            first_packet: Duration::from_secs(30),
            media_inactivity: Duration::from_secs(60),
            media_inactivity_hold: Duration::from_secs(1_800),
            ice_consent: Duration::from_secs(30),
            setup_timeout: Duration::from_secs(15),
            opus_complexity: None,
            opus_bitrate_bps: 24_000,
            leaves_silence_out: false,
            clip_memory_bytes: 256 * 1024 * 1024,
            longest_pause: Duration::from_micros(1_200),
            dscp: 46,
            is_pinned: false,
            command_queue: 1_024,
            event_queue: 8_192,
        }
    }
}

impl EngineConfig {
    /// Fails with `InvalidParameter` for what cannot work, naming the field.
    pub(super) fn check(&self) -> Result<(), MediaError> {
        let fault = |text: &str| Err(MediaError::InvalidParameter(text.into()));
        let (first, last) = self.rtp_ports;
        if first >= last || first == 0 {
            return fault("rtp_ports: the first port must be below the last");
        }
        if self.command_queue == 0 || self.event_queue < 16 {
            return fault("command_queue, event_queue: too small");
        }
        if self.opus_complexity.is_some_and(|complexity| complexity > 10) {
            return fault("opus_complexity: from 0 to 10");
        }
        if self.dscp > 63 {
            return fault("dscp: from 0 to 63");
        }
        if self.longest_pause > Duration::from_millis(10) {
            return fault("longest_pause: at most 10 ms");
        }
        if self.workers > 256 || self.webrtc_bind.port().checked_add(self.highest_worker()).is_none() {
            return fault("workers: too many");
        }
        Ok(())
    }

    /// Names the addresses to advertise where the configuration leaves them open.
    ///
    /// local: lists the machine's addresses, the main one first. Loopback is advertised only if there is nothing else.
    pub(super) fn resolve(mut self, local: impl Fn() -> io::Result<Vec<IpAddr>>) -> Result<Self, MediaError> {
        if self.webrtc_advertised.is_empty() {
            self.webrtc_advertised = advertised(self.webrtc_bind.ip(), &local)?;
        }
        if self.rtp_advertised.is_empty() {
            self.rtp_advertised = advertised(self.rtp_bind, &local)?;
        }
        let addresses = std::mem::take(&mut self.rtp_advertised);
        for ip in addresses {
            if self.rtp_advertised.iter().all(|known| known.is_ipv4() != ip.is_ipv4()) {
                self.rtp_advertised.push(ip);
            }
        }
        Ok(self)
    }

    fn highest_worker(&self) -> u16 {
        u16::try_from(self.workers.saturating_sub(1)).unwrap_or(u16::MAX)
    }
}

/// The addresses by which a socket bound to `bound` is reached.
fn advertised(bound: IpAddr, local: impl Fn() -> io::Result<Vec<IpAddr>>) -> Result<Vec<IpAddr>, MediaError> {
    if !bound.is_unspecified() {
        return Ok(vec![bound]);
    }
    let mut addresses = local()?;
    addresses.retain(|ip| ip.is_ipv4() || bound.is_ipv6());
    if addresses.iter().any(|ip| !ip.is_loopback()) {
        addresses.retain(|ip| !ip.is_loopback());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(bound: &str, local: &[&str]) -> Vec<String> {
        let local = || Ok(local.iter().map(|ip| ip.parse().unwrap()).collect());
        let config =
            EngineConfig { webrtc_bind: SocketAddr::new(bound.parse().unwrap(), 0), ..EngineConfig::default() };
        config.resolve(local).unwrap().webrtc_advertised.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_wildcard_advertises_every_address_but_loopback() {
        let local = ["192.0.2.5", "2001:db8::5", "127.0.0.1", "::1"];
        assert_eq!(resolved("0.0.0.0", &local), ["192.0.2.5"]);
        assert_eq!(resolved("::", &local), ["192.0.2.5", "2001:db8::5"]);
        assert_eq!(resolved("0.0.0.0", &["127.0.0.1"]), ["127.0.0.1"], "nothing else");
        assert_eq!(resolved("198.51.100.1", &local), ["198.51.100.1"]);
    }

    #[test]
    fn the_sip_side_has_one_address_of_each_family_that_it_is_bound_to() {
        let local = || Ok(["192.0.2.5", "192.0.2.6", "2001:db8::5"].map(|ip| ip.parse().unwrap()).to_vec());
        let advertised = |bound: &str, configured: &[&str]| -> Vec<String> {
            let config = EngineConfig {
                rtp_bind: bound.parse().unwrap(),
                rtp_advertised: configured.iter().map(|ip| ip.parse().unwrap()).collect(),
                ..EngineConfig::default()
            };
            config.resolve(local).unwrap().rtp_advertised.iter().map(IpAddr::to_string).collect()
        };
        assert_eq!(advertised("0.0.0.0", &[]), ["192.0.2.5"]);
        assert_eq!(advertised("::", &[]), ["192.0.2.5", "2001:db8::5"]);
        assert_eq!(advertised("10.0.0.1", &["198.51.100.1"]), ["198.51.100.1"], "behind a 1:1 NAT");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(EngineConfig::default().check().is_ok());
        assert!(EngineConfig { rtp_ports: (5_000, 5_000), ..EngineConfig::default() }.check().is_err());
        assert!(EngineConfig { dscp: 64, ..EngineConfig::default() }.check().is_err());
        assert!(EngineConfig { longest_pause: Duration::from_millis(11), ..EngineConfig::default() }.check().is_err());
        assert!(EngineConfig { opus_complexity: Some(11), ..EngineConfig::default() }.check().is_err());
        let last_port = SocketAddr::from(([127, 0, 0, 1], 65_535));
        assert!(EngineConfig { webrtc_bind: last_port, workers: 2, ..EngineConfig::default() }.check().is_err());
    }
}
