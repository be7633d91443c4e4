//! URIs.   RFC 3261 section 19.1.
//!
//! Parts are kept as they came, with their `%` escapes, since they will be sent again.

use super::Error;
use super::text::{Set, alphanumeric_and, digits, is_all, lossy, partition, trim, trim_end, trim_start};

// `#` is not in the grammar of a user part, but phones send it unescaped when a service code is dialled.
const USER: Set = alphanumeric_and(b"-_.!~*'()&=+$,;?/#");
const PASSWORD: Set = alphanumeric_and(b"-_.!~*'()&=+$,");
const URI_TEXT: Set = alphanumeric_and(b"-_.!~*'()[]/?:&+$;=@,|#^{}`");
const SCHEME: Set = alphanumeric_and(b"+.-");
const NAME_HOST: Set = alphanumeric_and(b"_.-");

/// A URI in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// Any other.
    Opaque(OpaqueUri<'a>),
}

/// A `sip:` or `sips:` URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// Whether it is `sips:`.
    pub is_secure: bool,
    /// None if there is no `@`.
    pub user: Option<&'a [u8]>,
    /// What follows the first `:` of the user part.
    pub password: Option<&'a [u8]>,
    /// Without brackets.
    pub host: &'a [u8],
    /// 1 to 65,535.
    pub port: Option<u16>,
    /// `name=value;name`, checked; `parameters` cuts it.
    pub parameter_text: &'a [u8],
    /// What follows `?`.
    pub header_text: Option<&'a [u8]>,
}

/// A URI of another scheme: `tel:`, `urn:`, `http:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueUri<'a> {
    /// As it came.
    pub scheme: &'a [u8],
    /// What follows the colon.
    pub rest: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Read a URI that stands alone or between angle brackets.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let (scheme, rest) = match partition(text, b':') {
            ([first, others @ ..], Some(rest)) if first.is_ascii_alphabetic() && is_all(others, &SCHEME) => {
                (&text[..=others.len()], rest)
            }
            _ => return Err(Error::Syntax("a URI without a scheme")),
        };
        let is_secure = scheme.eq_ignore_ascii_case(b"sips");
        if is_secure || scheme.eq_ignore_ascii_case(b"sip") {
            return SipUri::parse(is_secure, rest).map(Self::Sip);
        }
        if rest.is_empty() || !is_escaped_text(rest, &URI_TEXT) {
            return Err(Error::OpaqueUri(lossy(scheme).to_lowercase()));
        }
        Ok(Self::Opaque(OpaqueUri { scheme, rest }))
    }
}

impl<'a> SipUri<'a> {
    fn parse(is_secure: bool, rest: &'a [u8]) -> Result<Self, Error> {
        let (mut user, mut password, mut tail) = (None, None, rest);
        if let Some(at) = rest.iter().rposition(|byte| *byte == b'@') {
            let (name, secret) = partition(&rest[..at], b':');
            if name.is_empty() || !is_escaped(name, &USER) || !secret.is_none_or(|secret| is_escaped(secret, &PASSWORD))
            {
                return Err(Error::Syntax("bad user part of a URI"));
            }
            (user, password, tail) = (Some(name), secret, &rest[at + 1..]);
        }
        let (tail, header_text) = partition(tail, b'?');
        let (host_port, parameter_text) = partition(tail, b';');
        let parameter_text = parameter_text.unwrap_or_default();
        let place = HostPort::read(host_port).filter(|place| place.rest.is_empty());
        let place = place.ok_or(Error::Syntax("bad host or port of a URI"))?;
        for piece in pieces(parameter_text) {
            if matches!(piece, [] | [b'=', ..]) || !is_escaped_text(piece, &URI_TEXT) {
                return Err(Error::Syntax("bad parameter of a URI"));
            }
        }
        if header_text.is_some_and(|text| !is_escaped_text(text, &URI_TEXT)) {
            return Err(Error::Syntax("bad headers of a URI"));
        }
        Ok(Self { is_secure, user, password, host: place.host, port: place.port()?, parameter_text, header_text })
    }

    /// Names and values in their order; None for a name without `=`.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        pieces(self.parameter_text).map(|piece| partition(piece, b'='))
    }
}

fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = (!text.is_empty()).then_some(text);
    text.into_iter().flat_map(|text| text.split(|byte| *byte == b';'))
}

/// The host at the beginning of a text, without brackets, and what follows it.
fn host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [b'[', inner @ ..] = text {
        let end = inner.iter().position(|byte| !(byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')))?;
        return (end > 0 && inner[end] == b']').then(|| (&inner[..end], &inner[end + 1..]));
    }
    let end = text.iter().position(|byte| !NAME_HOST[usize::from(*byte)]).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_host = name.first()?.is_ascii_alphanumeric() || name[0] == b'_';
    (is_host && name.last() != Some(&b'-')).then_some((name, rest))
}

/// `host:port` at the beginning of a text, and what follows it.
pub(super) struct HostPort<'a> {
    /// Without brackets.
    pub(super) host: &'a [u8],
    /// One to five digits.
    port: Option<&'a [u8]>,
    pub(super) rest: &'a [u8],
}

impl<'a> HostPort<'a> {
    /// Read what is there; None without a host, or with a colon and no port. Blanks may stand around the colon.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let (host, rest) = host(text)?;
        let [b':', port @ ..] = trim_start(rest) else { return Some(Self { host, port: None, rest }) };
        let port = trim_start(port);
        let end = port.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(port.len());
        let (port, rest) = port.split_at(end);
        matches!(port.len(), 1..=5).then_some(Self { host, port: Some(port), rest })
    }

    /// 1 to 65,535.
    pub(super) fn port(&self) -> Result<Option<u16>, Error> {
        let read = |text| {
            let port = digits(text, 5).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            port.ok_or_else(|| Error::Port(lossy(text)))
        };
        self.port.map(read).transpose()
    }
}

/// Whether all is of the set or `%` and two hexadecimal digits.
fn is_escaped(text: &[u8], set: &Set) -> bool {
    is_made_of(text, |byte| set[usize::from(byte)])
}

/// The same, where what is not ASCII may stand as well.
fn is_escaped_text(text: &[u8], set: &Set) -> bool {
    is_made_of(text, |byte| byte >= 0x80 || set[usize::from(byte)])
}

fn is_made_of(text: &[u8], is_plain: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let is_escape = || {
            let [first, second, ..] = bytes.as_slice() else { return false };
            *byte == b'%' && first.is_ascii_hexdigit() && second.is_ascii_hexdigit()
        };
        if is_plain(*byte) {
            continue;
        }
        if !is_escape() {
            return false;
        }
        bytes.nth(1);
    }
    true
}

/// Blanks around what stands in angle brackets, or before the parameters, do not count.
pub(super) fn parse_between(text: &[u8]) -> Result<Uri<'_>, Error> {
    Uri::parse(trim(text))
}

/// The same for a URI that stands alone, where a blank before it is an error.
pub(super) fn parse_bare(text: &[u8]) -> Result<Uri<'_>, Error> {
    Uri::parse(trim_end(text))
}
