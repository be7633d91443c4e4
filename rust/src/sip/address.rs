//! Addresses (From, To, Contact, routes) and Via.   RFC 3261 sections 20.10, 20.42; RFC 3581.

use std::borrow::Cow;

use super::Error;
use super::text::{Parameters, is_token, partition, quoted_len, trim, trim_start, unquote};
use super::uri::{HostPort, Uri, parse_bare, parse_between};

/// An address with an optional display name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Whom it names.
    pub uri: Uri<'a>,
    /// Without quotes or escapes; empty if there is none.
    pub display_name: Cow<'a, [u8]>,
    /// Of the header, not of the URI.
    pub parameters: Parameters<'a>,
}

impl<'a> NameAddr<'a> {
    /// Read one value, in name-addr or addr-spec form.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let text = trim(text);
        let mut display_name = Cow::Borrowed(&b""[..]);
        let mut rest = text;
        if text.first() == Some(&b'"') {
            let len = quoted_len(text).ok_or(Error::Syntax("a quote is not closed"))?;
            display_name = unquote(&text[..len]);
            rest = trim_start(&text[len..]);
            if rest.first() != Some(&b'<') {
                return Err(Error::Syntax("a display name without an address"));
            }
        } else if let Some(at) = text.iter().position(|byte| *byte == b'<') {
            let name = trim(&text[..at]);
            if name.iter().any(|byte| matches!(byte, b';' | b'"' | 0..=8 | 10..=31 | 127)) {
                return Err(Error::Syntax("bad display name"));
            }
            (display_name, rest) = (Cow::Borrowed(name), &text[at..]);
        }
        let [b'<', rest @ ..] = rest else { return Self::bare(rest) };
        let tail = match partition(rest, b'>') {
            (address, Some(tail)) => (address, trim(tail)),
            _ => (rest, &b"<"[..]),
        };
        let (address, parameters) = match tail {
            (address, []) => (address, &b""[..]),
            (address, [b';', parameters @ ..]) => (address, parameters),
            _ => return Err(Error::Syntax("bad address in angle brackets")),
        };
        Ok(Self { uri: parse_between(address)?, display_name, parameters: Parameters::parse(parameters)? })
    }

    fn bare(text: &'a [u8]) -> Result<Self, Error> {
        let (address, parameters) = partition(text, b';');
        if address.iter().any(|byte| matches!(byte, b'?' | b',')) {
            return Err(Error::Syntax("an address that needs angle brackets has none"));
        }
        let parameters = parameters.unwrap_or_default();
        Ok(Self {
            uri: parse_bare(address)?,
            display_name: Cow::Borrowed(b""),
            parameters: Parameters::parse(parameters)?,
        })
    }

    /// Make sure that a tag is something that can be compared and sent again.
    pub(super) fn check_tag(&self) -> Result<(), Error> {
        let tag = self.parameters.get(b"tag").map(unquote);
        match tag {
            Some(tag) if tag.is_empty() || !tag.iter().all(u8::is_ascii_graphic) => Err(Error::Syntax("bad tag")),
            _ => Ok(()),
        }
    }
}

/// One Via value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via<'a> {
    /// As it came.
    pub transport: &'a [u8],
    /// Without brackets.
    pub host: &'a [u8],
    /// 1 to 65,535.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, ...
    pub parameters: Parameters<'a>,
}

impl<'a> Via<'a> {
    /// Read one value.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let (transport, place) = Self::cut(trim(text)).ok_or(Error::Syntax("bad Via"))?;
        let parameters = match trim_start(place.rest) {
            [] => Parameters::NONE,
            [b';', parameters @ ..] => Parameters::parse(parameters)?,
            _ => return Err(Error::Syntax("bad Via")),
        };
        Ok(Self { transport, host: place.host, port: place.port()?, parameters })
    }

    fn cut(text: &'a [u8]) -> Option<(&'a [u8], HostPort<'a>)> {
        let rest = text.split_at_checked(3).filter(|(name, _)| name.eq_ignore_ascii_case(b"SIP"))?.1;
        let rest = trim_start(trim_start(rest).strip_prefix(b"/")?);
        let rest = trim_start(trim_start(rest.strip_prefix(b"2.0")?).strip_prefix(b"/")?);
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (transport, rest) = rest.split_at(end);
        let place = HostPort::read(trim_start(rest))?;
        is_token(transport).then_some((transport, place))
    }
}
